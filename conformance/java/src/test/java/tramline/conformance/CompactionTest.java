package tramline.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Compacted topics, and what `compression.type` makes of batches. */
class CompactionTest {
    private static Broker broker;
    private Clients clients;

    /** It looks for what is to be compacted, or too old, all the time. */
    @BeforeAll
    static void start() {
        broker = Broker.with("[topics]\ncompaction_interval = \"100ms\"\nretention_check_interval = \"200ms\"\n");
    }

    @AfterAll
    static void stop() {
        broker.close();
    }

    @BeforeEach
    void open() {
        clients = new Clients(broker);
    }

    @AfterEach
    void close() throws Exception {
        clients.close();
    }

    /** A topic that is compacted whenever something new is there. */
    private String compacted(String policy, String... more) throws Exception {
        var config = new ArrayList<>(List.of("cleanup.policy", policy, "min.cleanable.dirty.ratio", "0.0"));
        config.addAll(List.of(more));
        return clients.createTopic(1, config.toArray(String[]::new));
    }

    /** Sends `key=value` each in a batch of its own; without a value it is a tombstone. */
    private void put(String topic, String... records) throws ExecutionException {
        var producer = clients.producer("linger.ms", 0);
        for (var text : records) {
            var parts = text.split("=", 2);
            var value = parts.length == 2 ? parts[1] : null;
            Clients.send(producer, List.of(new ProducerRecord<>(topic, parts[0], value)));
        }
    }

    /** What is there now, by offset, as `key=value`. */
    private Map<Long, String> whole(String topic) {
        var partition = new TopicPartition(topic, 0);
        var reader = clients.reader(topic, 0);
        try {
            var end = reader.endOffsets(List.of(partition)).get(partition);
            var found = new TreeMap<Long, String>();
            Clients.until(() -> {
                for (var record : reader.poll(Duration.ofMillis(50))) {
                    var value = record.value() == null ? "" : "=" + record.value();
                    found.put(record.offset(), record.key() + value);
                }
                return reader.position(partition) >= end;
            });
            return found;
        } finally {
            reader.close();
        }
    }

    private void alter(String topic, String... settings) throws ExecutionException {
        var changes = new ArrayList<AlterConfigOp>();
        for (int index = 0; index < settings.length; index += 2) {
            var entry = new ConfigEntry(settings[index], settings[index + 1]);
            changes.add(new AlterConfigOp(entry, AlterConfigOp.OpType.SET));
        }
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Clients.get(clients.admin().incrementalAlterConfigs(Map.of(resource, changes)).all());
    }

    @Test
    void theLatestOfEachKeyStaysAtItsOffset() throws Exception {
        var topic = compacted("compact");
        put(topic, "a=1", "b=2", "a=3", "c=4", "b=5");
        Clients.until(() -> whole(topic).equals(Map.of(2L, "a=3", 3L, "c=4", 4L, "b=5")));
    }

    @Test
    void aTombstoneDeletesItsKeyAndGoesWhenItsTimeIsOver() throws Exception {
        var topic = compacted("compact", "delete.retention.ms", "1500");
        put(topic, "a=1", "b=2", "a", "end=");
        Clients.until(() -> whole(topic).equals(Map.of(1L, "b=2", 2L, "a", 3L, "end=")));
        Clients.until(() -> whole(topic).equals(Map.of(1L, "b=2", 3L, "end=")));
    }

    @Test
    void compactAndDeleteTogether() throws Exception {
        var topic = compacted("compact,delete", "retention.ms", "-1");
        put(topic, "a=1", "a=2", "b=3");
        Clients.until(() -> whole(topic).equals(Map.of(1L, "a=2", 2L, "b=3")));
        alter(topic, "retention.ms", "1");
        Clients.until(() -> whole(topic).isEmpty());
    }

    @Test
    void aRecordWithoutAKeyIsRefusedByItself() throws Exception {
        var topic = compacted("compact");
        var sent = clients.producer().send(new ProducerRecord<>(topic, null, "no key"));
        var error = Clients.fails(InvalidRecordException.class, sent);
        assertEquals(InvalidRecordException.class, error.getClass());
        put(topic, "a=1");
        assertEquals(Map.of(0L, "a=1"), whole(topic));
    }

    @Test
    void aTopicBecomesCompacted() throws Exception {
        var topic = clients.createTopic(1);
        put(topic, "a=1", "a=2", "b=3");
        assertEquals(3, whole(topic).size());
        alter(topic, "cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0");
        Clients.until(() -> whole(topic).equals(Map.of(1L, "a=2", 2L, "b=3")));
    }

    @Test
    void aPolicyThatIsNoneIsRefused() {
        assertThrows(ExecutionException.class, () -> compacted("compress"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"uncompressed", "gzip", "snappy", "lz4", "zstd"})
    void batchesAreStoredAsTheTopicSaysAndReadAsTheyWereSent(String to) throws Exception {
        for (var sent : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            var topic = clients.createTopic(1, "compression.type", to);
            var producer = clients.producer("compression.type", sent, "linger.ms", 50);
            Clients.sendEach(producer, 0, 50, n -> new ProducerRecord<>(topic, "" + n, ("" + n).repeat(500)));
            var records = Clients.read(clients.reader(topic, 0), 50);
            for (int n = 0; n < 50; n++) {
                assertEquals("" + n, records.get(n).key());
                assertEquals(("" + n).repeat(500), records.get(n).value());
                assertEquals(n, records.get(n).offset());
            }
        }
    }
}
