package tramline.conformance;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.BooleanSupplier;
import java.util.function.IntFunction;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Clients of one broker, with bounded waits, closed together. Keys and values are text. */
final class Clients implements AutoCloseable {
    static final int SECONDS = 60;

    private final String address;
    private final Deque<AutoCloseable> open = new ArrayDeque<>();
    private Admin admin;

    Clients(Broker broker) {
        address = broker.kafka();
    }

    @Override
    public void close() throws Exception {
        while (!open.isEmpty()) {
            close(open.getLast());
        }
    }

    void close(AutoCloseable client) throws Exception {
        open.remove(client);
        if (client instanceof KafkaConsumer<?, ?> consumer) {
            consumer.close(org.apache.kafka.clients.consumer.CloseOptions.timeout(Duration.ofSeconds(5)));
        } else if (client instanceof KafkaProducer<?, ?> producer) {
            producer.close(Duration.ofSeconds(5));
        } else {
            client.close();
        }
    }

    Admin admin() {
        if (admin == null) {
            admin = Admin.create(settings(Map.of(
                    "default.api.timeout.ms", SECONDS * 1000, "request.timeout.ms", 10_000)));
            open.add(admin);
        }
        return admin;
    }

    KafkaProducer<String, String> producer(Object... settings) {
        Map<String, Object> all = settings(Map.of(
                "linger.ms", 5, "delivery.timeout.ms", 15_000, "request.timeout.ms", 10_000,
                "max.block.ms", 10_000));
        putAll(all, settings);
        var producer = new KafkaProducer<>(all, new StringSerializer(), new StringSerializer());
        open.add(producer);
        return producer;
    }

    KafkaConsumer<String, String> consumer(String group, Object... settings) {
        Map<String, Object> all = settings(Map.of(
                "group.protocol", "classic", "auto.offset.reset", "earliest",
                "enable.auto.commit", false, "session.timeout.ms", 6000,
                "heartbeat.interval.ms", 500, "fetch.max.wait.ms", 200,
                "default.api.timeout.ms", SECONDS * 1000, "request.timeout.ms", 15_000));
        if (group != null) {
            all.put("group.id", group);
        }
        putAll(all, settings);
        var consumer = new KafkaConsumer<>(all, new StringDeserializer(), new StringDeserializer());
        open.add(consumer);
        return consumer;
    }

    /** A consumer of partition 0 from an offset, without a group. */
    KafkaConsumer<String, String> reader(String topic, long offset, Object... settings) {
        var consumer = consumer(null, settings);
        var partition = new TopicPartition(topic, 0);
        consumer.assign(List.of(partition));
        consumer.seek(partition, offset);
        return consumer;
    }

    String createTopic(int partitions, String... config) throws Exception {
        String name = unique();
        Map<String, String> configs = new HashMap<>();
        for (int index = 0; index < config.length; index += 2) {
            configs.put(config[index], config[index + 1]);
        }
        NewTopic topic = new NewTopic(name, partitions, (short) 1).configs(configs);
        get(admin().createTopics(List.of(topic)).all());
        return name;
    }

    private Map<String, Object> settings(Map<String, Object> extra) {
        Map<String, Object> all = new HashMap<>(extra);
        all.put("bootstrap.servers", address);
        all.put("reconnect.backoff.ms", 20);
        all.put("reconnect.backoff.max.ms", 200);
        all.put("retry.backoff.ms", 20);
        all.put("retry.backoff.max.ms", 200);
        return all;
    }

    private static void putAll(Map<String, Object> all, Object... settings) {
        for (int index = 0; index < settings.length; index += 2) {
            all.put((String) settings[index], settings[index + 1]);
        }
    }

    static String unique() {
        return "t-" + UUID.randomUUID().toString().substring(0, 13);
    }

    static List<String> numbers(int from, int to) {
        return IntStream.range(from, to).mapToObj(Integer::toString).toList();
    }

    /** What a future gives within the time. */
    static <T> T get(Future<T> future) throws ExecutionException {
        try {
            return future.get(SECONDS, TimeUnit.SECONDS);
        } catch (InterruptedException | TimeoutException error) {
            throw new AssertionError(error);
        }
    }

    /** That a request fails with this error. */
    static <E extends Throwable> E fails(Class<E> kind, Future<?> future) {
        var error = assertThrows(ExecutionException.class, () -> get(future));
        assertTrue(kind.isInstance(error.getCause()), () -> "failed with " + error.getCause());
        return kind.cast(error.getCause());
    }

    /** Sends records and waits for all of them. */
    static List<RecordMetadata> send(
            KafkaProducer<String, String> producer, List<ProducerRecord<String, String>> records)
            throws ExecutionException {
        List<Future<RecordMetadata>> futures = new ArrayList<>();
        for (var record : records) {
            futures.add(producer.send(record));
        }
        producer.flush();
        List<RecordMetadata> sent = new ArrayList<>();
        for (var future : futures) {
            sent.add(get(future));
        }
        return sent;
    }

    /** Sends the numbers as values to partition 0. */
    static List<RecordMetadata> sendNumbers(
            KafkaProducer<String, String> producer, String topic, int from, int to)
            throws ExecutionException {
        return sendEach(producer, from, to, n -> new ProducerRecord<>(topic, 0, null, "" + n));
    }

    static List<RecordMetadata> sendEach(
            KafkaProducer<String, String> producer, int from, int to,
            IntFunction<ProducerRecord<String, String>> record) throws ExecutionException {
        return send(producer, IntStream.range(from, to).mapToObj(record).toList());
    }

    /** The next records; fewer within the time fail. */
    static List<ConsumerRecord<String, String>> read(KafkaConsumer<String, String> consumer, int count) {
        List<ConsumerRecord<String, String>> records = new ArrayList<>();
        until(() -> {
            consumer.poll(Duration.ofMillis(100)).forEach(records::add);
            return records.size() >= count;
        });
        assertTrue(records.size() == count, () -> records.size() + " records, not " + count);
        return records;
    }

    static List<String> values(Collection<ConsumerRecord<String, String>> records) {
        return records.stream().map(ConsumerRecord::value).toList();
    }

    static void until(BooleanSupplier holds) {
        until(SECONDS, holds);
    }

    static void until(int seconds, BooleanSupplier holds) {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
        while (!holds.getAsBoolean()) {
            assertTrue(System.nanoTime() < deadline, "it did not come to be in time");
            try {
                Thread.sleep(5); // What is waited for needs the processor, too.
            } catch (InterruptedException error) {
                throw new AssertionError(error);
            }
        }
    }

    /** Polls the members until a condition holds; gives the records that came meanwhile. */
    @SafeVarargs
    static List<ConsumerRecord<String, String>> pollUntil(
            BooleanSupplier holds, KafkaConsumer<String, String>... members) {
        List<ConsumerRecord<String, String>> records = new ArrayList<>();
        until(() -> {
            for (var member : members) {
                member.poll(Duration.ofMillis(50)).forEach(records::add);
            }
            return holds.getAsBoolean();
        });
        return records;
    }

    /** The partitions that a member holds. */
    static Set<Integer> held(KafkaConsumer<String, String> member) {
        Set<Integer> held = new HashSet<>();
        member.assignment().forEach(partition -> held.add(partition.partition()));
        return held;
    }

    static Set<Integer> set(Integer... numbers) {
        return new HashSet<>(Arrays.asList(numbers));
    }
}
