package tramline.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Kafka Streams, at least once: counts by key, whose state lies in a store on disk and in a
 * compacted changelog topic, from which an instance without files restores it.
 */
@Timeout(150)
class StreamsTest {
    /** Their start takes long on a busy machine. */
    private static final int SECONDS = 100;
    private static final int PARTITIONS = 4;

    @TempDir
    Path files;

    private final AtomicInteger instances = new AtomicInteger();
    private final List<KafkaStreams> running = new ArrayList<>();
    private Broker broker;
    private Clients clients;
    private String input;
    private String output;
    private String application;

    @BeforeEach
    void open() throws Exception {
        broker = Broker.own();
        clients = new Clients(broker);
        input = clients.createTopic(PARTITIONS);
        output = clients.createTopic(PARTITIONS);
        application = Clients.unique();
    }

    @AfterEach
    void close() throws Exception {
        List.copyOf(running).forEach(this::stop);
        clients.close();
        broker.close();
    }

    /** Counts what comes per key; {@code isRekeyed} counts per value, through a topic in between. */
    private StreamsBuilder counting(boolean isRekeyed) {
        var builder = new StreamsBuilder();
        KStream<String, String> words = builder.stream(input);
        var grouped = isRekeyed ? words.groupBy((key, value) -> value) : words.groupByKey();
        grouped.count(Materialized.as("counts")).toStream().mapValues(String::valueOf).to(output);
        return builder;
    }

    /** An instance with no files of its own yet. */
    private KafkaStreams start(StreamsBuilder builder) {
        var settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, broker.kafka());
        settings.put(StreamsConfig.STATE_DIR_CONFIG, files.resolve("" + instances.getAndIncrement()).toString());
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.AT_LEAST_ONCE);
        settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 200);
        settings.put("auto.offset.reset", "earliest");
        settings.put("session.timeout.ms", 6000);
        settings.put("heartbeat.interval.ms", 500);
        settings.put("reconnect.backoff.max.ms", 200);
        settings.put("retry.backoff.ms", 50);
        var streams = new KafkaStreams(builder.build(), settings);
        running.add(streams);
        streams.start();
        return streams;
    }

    /** A static member does not leave: the next instance would wait for its session. */
    private void stop(KafkaStreams streams) {
        running.remove(streams);
        streams.close(new KafkaStreams.CloseOptions().timeout(Duration.ofSeconds(10)).leaveGroup(true));
    }

    private void send(int from, int to) throws Exception {
        Clients.sendEach(clients.producer(), from, to, n -> new ProducerRecord<>(input, "key " + n % 10, "value " + n % 5));
    }

    /** Reads the output until each key's last count is as expected. */
    private void awaitCounts(Map<String, Integer> expected) throws Exception {
        KafkaConsumer<String, String> reader = clients.consumer(Clients.unique());
        reader.subscribe(List.of(output));
        var counts = new ConcurrentHashMap<String, Integer>();
        Clients.until(SECONDS, () -> {
            reader.poll(Duration.ofMillis(100)).forEach(one -> counts.put(one.key(), Integer.valueOf(one.value())));
            return counts.equals(expected);
        });
        clients.close(reader);
    }

    /** Waits until the application has committed this many records. */
    private void awaitCommitted(long records) {
        Clients.until(SECONDS, () -> {
            try {
                var kept = clients.admin().listConsumerGroupOffsets(application).partitionsToOffsetAndMetadata();
                return Clients.get(kept).values().stream().mapToLong(one -> one.offset()).sum() == records;
            } catch (ExecutionException error) {
                throw new AssertionError(error);
            }
        });
    }

    private static Map<String, Integer> each(String name, int keys, int count) {
        var all = new HashMap<String, Integer>();
        for (int n = 0; n < keys; n++) {
            all.put(name + " " + n, count);
        }
        return all;
    }

    @Test
    void countsAreKeptInACompactedChangelog() throws Exception {
        start(counting(false));
        send(0, 100);
        awaitCounts(each("key", 10, 10));
        var changelog = application + "-counts-changelog";
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, changelog);
        var config = Clients.get(clients.admin().describeConfigs(List.of(resource)).all()).get(resource);
        assertEquals("compact", config.get("cleanup.policy").value());
        var described = Clients.get(clients.admin().describeTopics(List.of(changelog)).allTopicNames());
        assertEquals(PARTITIONS, described.get(changelog).partitions().size());
    }

    @Test
    void anInstanceWithoutFilesRestoresTheCounts() throws Exception {
        var first = start(counting(false));
        send(0, 100);
        awaitCounts(each("key", 10, 10));
        stop(first);
        start(counting(false));
        send(100, 150);
        awaitCounts(each("key", 10, 15));
    }

    @ParameterizedTest
    @ValueSource(strings = {"stop", "kill"})
    void countsAreRestoredAfterTheBrokerWasRestarted(String how) throws Exception {
        var first = start(counting(false));
        send(0, 100);
        awaitCounts(each("key", 10, 10));
        stop(first);
        restart(how);
        start(counting(false));
        send(100, 150);
        awaitCounts(each("key", 10, 15));
    }

    @ParameterizedTest
    @ValueSource(strings = {"stop", "kill"})
    void aRunningInstanceGoesOnOverARestartOfTheBroker(String how) throws Exception {
        start(counting(false));
        send(0, 100);
        awaitCounts(each("key", 10, 10));
        awaitCommitted(100); // So that it reads nothing twice.
        restart(how);
        send(100, 150);
        awaitCounts(each("key", 10, 15));
    }

    private void restart(String how) {
        if (how.equals("kill")) {
            broker.kill();
        } else {
            broker.stop();
        }
        broker.start();
    }

    @Test
    void countsByAnotherKeyGoThroughATopicInBetween() throws Exception {
        start(counting(true));
        send(0, 100);
        awaitCounts(each("value", 5, 20));
        var names = Clients.get(clients.admin().listTopics().names());
        assertEquals(true, names.contains(application + "-counts-repartition"));
    }

    @Test
    void twoInstancesShareTheWorkAndTheOneLeftHasAllCounts() throws Exception {
        var first = start(counting(false));
        var second = start(counting(false));
        Clients.until(SECONDS, () -> tasks(first) == 2 && tasks(second) == 2);
        send(0, 100);
        awaitCounts(each("key", 10, 10));
        stop(first);
        Clients.until(SECONDS, () -> tasks(second) == PARTITIONS);
        send(100, 150);
        awaitCounts(each("key", 10, 15));
    }

    private static int tasks(KafkaStreams streams) {
        return streams.metadataForLocalThreads().stream().mapToInt(thread -> thread.activeTasks().size()).sum();
    }

    @Test
    void aStreamIsJoinedWithATable() throws Exception {
        var table = clients.createTopic(PARTITIONS, "cleanup.policy", "compact");
        var builder = new StreamsBuilder();
        var names = builder.table(table, Consumed.with(Serdes.String(), Serdes.String()));
        KStream<String, String> words = builder.stream(input);
        words.join(names, (word, name) -> name).to(output, Produced.with(Serdes.String(), Serdes.String()));
        Clients.sendEach(clients.producer(), 0, 10, n -> new ProducerRecord<>(table, "key " + n, "" + n));
        start(builder);
        send(0, 10);
        var expected = new HashMap<String, Integer>();
        for (int n = 0; n < 10; n++) {
            expected.put("key " + n, n);
        }
        awaitCounts(expected);
    }
}
