package tramline.conformance;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.record.TimestampType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Producing: what was sent is what is read, in order, once. */
class ProduceTest extends ClientTest {
    @ParameterizedTest
    @ValueSource(strings = {"none", "gzip", "snappy", "lz4", "zstd"})
    void everyCodecComesBackAsSent(String codec) throws Exception {
        String topic = clients.createTopic(1);
        String filler = " tramline".repeat(40);
        var producer = clients.producer("compression.type", codec, "linger.ms", 50);
        Clients.sendEach(producer, 0, 500, n -> new ProducerRecord<>(topic, n + filler));
        List<String> expected = Clients.numbers(0, 500).stream().map(n -> n + filler).toList();
        assertEquals(expected, Clients.values(Clients.read(clients.reader(topic, 0), 500)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"0", "1", "all"})
    void everyAcknowledgementModeDelivers(String acks) throws Exception {
        String topic = clients.createTopic(1);
        var producer = clients.producer("acks", acks, "enable.idempotence", false);
        Clients.sendNumbers(producer, topic, 0, 100);
        var records = Clients.read(clients.reader(topic, 0), 100);
        assertEquals(Clients.numbers(0, 100), Clients.values(records));
        assertEquals(99, records.get(99).offset());
    }

    @Test
    void theAcknowledgedOffsetIsTheOneItIsReadAt() throws Exception {
        String topic = clients.createTopic(1);
        var sent = Clients.sendNumbers(clients.producer(), topic, 0, 50);
        for (var record : Clients.read(clients.reader(topic, 0), 50)) {
            int n = Integer.parseInt(record.value());
            assertEquals(sent.get(n).offset(), record.offset());
        }
    }

    @Test
    void idempotentProducerKeepsOrderAndCountOverPartitions() throws Exception {
        String topic = clients.createTopic(3);
        var producer = clients.producer(
                "enable.idempotence", true, "batch.size", 500, "linger.ms", 0,
                "max.in.flight.requests.per.connection", 5);
        Clients.sendEach(producer, 0, 3000, n -> new ProducerRecord<>(topic, n % 3, null, "" + n));
        var consumer = clients.consumer(Clients.unique());
        consumer.subscribe(List.of(topic));
        Map<Integer, List<Integer>> came = new HashMap<>();
        for (var record : Clients.read(consumer, 3000)) {
            came.computeIfAbsent(record.partition(), p -> new ArrayList<>())
                    .add(Integer.parseInt(record.value()));
        }
        for (int partition = 0; partition < 3; partition++) {
            for (int index = 0; index < 1000; index++) {
                assertEquals(3 * index + partition, came.get(partition).get(index));
            }
        }
    }

    @Test
    void oneKeyGoesToOnePartition() throws Exception {
        String topic = clients.createTopic(8);
        var sent = Clients.sendEach(
                clients.producer(), 0, 400, n -> new ProducerRecord<>(topic, "key" + n % 40, "v"));
        Map<Integer, Set<Integer>> partitions = new HashMap<>();
        for (int n = 0; n < sent.size(); n++) {
            partitions.computeIfAbsent(n % 40, key -> new HashSet<>()).add(sent.get(n).partition());
        }
        assertTrue(partitions.values().stream().allMatch(used -> used.size() == 1));
        assertTrue(partitions.values().stream().distinct().count() > 1);
    }

    @Test
    void absentAndEmptyKeysAndValuesStayApart() throws Exception {
        String topic = clients.createTopic(1);
        List<List<String>> pairs = List.of(
                Arrays.asList(null, null), List.of("", ""), Arrays.asList("k", null),
                Arrays.asList(null, "v"), List.of("k", ""));
        Clients.send(clients.producer(), pairs.stream()
                .map(pair -> new ProducerRecord<>(topic, pair.get(0), pair.get(1))).toList());
        var records = Clients.read(clients.reader(topic, 0), 5);
        assertEquals(pairs, records.stream().map(r -> Arrays.asList(r.key(), r.value())).toList());
    }

    @Test
    void headersKeepOrderDuplicatesEmptyAndAbsentValues() throws Exception {
        String topic = clients.createTopic(1);
        var record = new ProducerRecord<String, String>(topic, "v");
        record.headers().add("a", "1".getBytes(UTF_8)).add("b", null).add("a", "2".getBytes(UTF_8))
                .add("", new byte[0]).add("a", "1".getBytes(UTF_8));
        Clients.send(clients.producer(), List.of(record));
        Header[] headers = Clients.read(clients.reader(topic, 0), 1).get(0).headers().toArray();
        List<String> keys = Arrays.stream(headers).map(Header::key).toList();
        assertEquals(List.of("a", "b", "a", "", "a"), keys);
        assertEquals("2", new String(headers[2].value(), UTF_8));
        assertNull(headers[1].value());
        assertEquals(0, headers[3].value().length);
    }

    @Test
    void theProducersTimestampIsKept() throws Exception {
        String topic = clients.createTopic(1, "retention.ms", "-1"); // They are old.
        Clients.send(clients.producer(), List.of(
                new ProducerRecord<>(topic, 0, 1_700_000_000_000L, null, "a"),
                new ProducerRecord<>(topic, 0, 0L, null, "b")));
        var records = Clients.read(clients.reader(topic, 0), 2);
        assertEquals(1_700_000_000_000L, records.get(0).timestamp());
        assertEquals(0, records.get(1).timestamp());
        assertEquals(TimestampType.CREATE_TIME, records.get(0).timestampType());
    }

    @Test
    void logAppendTimeReplacesTheProducers() throws Exception {
        String topic = clients.createTopic(1, "message.timestamp.type", "LogAppendTime");
        long before = System.currentTimeMillis();
        var record = new ProducerRecord<String, String>(topic, 0, 1_700_000_000_000L, null, "v");
        var sent = Clients.send(clients.producer(), List.of(record)).get(0);
        long after = System.currentTimeMillis();
        var came = Clients.read(clients.reader(topic, 0), 1).get(0);
        assertEquals(TimestampType.LOG_APPEND_TIME, came.timestampType());
        assertTrue(before <= came.timestamp() && came.timestamp() <= after);
        assertEquals(sent.timestamp(), came.timestamp());
    }

    @Test
    void aValueJustUnderTheLimitComesBack() throws Exception {
        String topic = clients.createTopic(1);
        String value = "0123456789".repeat(100_000);
        Clients.send(clients.producer(), List.of(new ProducerRecord<>(topic, value)));
        assertEquals(value, Clients.read(clients.reader(topic, 0), 1).get(0).value());
    }
}
