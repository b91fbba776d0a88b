package tramline.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Reading: from the beginning, the end, an offset, a time; what a fetch gives and when. */
class ConsumeTest extends ClientTest {
    /** An hour ago: what is older than a week goes when retention looks next. */
    private static final long BASE = System.currentTimeMillis() / 1000 * 1000 - 3_600_000L;

    /** Value n at offset n, at time BASE + 1000 n, in batches of several records. */
    private String hundred() throws Exception {
        String topic = clients.createTopic(1);
        Clients.sendEach(clients.producer("linger.ms", 50), 0, 100,
                n -> new ProducerRecord<>(topic, 0, BASE + 1000L * n, null, "" + n));
        return topic;
    }

    @Test
    void fromTheBeginning() throws Exception {
        String topic = hundred();
        var consumer = clients.consumer(null);
        consumer.assign(List.of(new TopicPartition(topic, 0)));
        consumer.seekToBeginning(consumer.assignment());
        assertEquals(Clients.numbers(0, 100), Clients.values(Clients.read(consumer, 100)));
    }

    @Test
    void fromTheEndOnlyLaterRecordsCome() throws Exception {
        String topic = hundred();
        var consumer = clients.consumer(null);
        consumer.assign(List.of(new TopicPartition(topic, 0)));
        consumer.seekToEnd(consumer.assignment());
        assertEquals(100, consumer.position(new TopicPartition(topic, 0)));
        assertTrue(consumer.poll(Duration.ofMillis(600)).isEmpty());
        Clients.sendNumbers(clients.producer(), topic, 100, 101);
        assertEquals(List.of("100"), Clients.values(Clients.read(consumer, 1)));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 37, 99})
    void fromAnOffsetAlsoInsideABatch(int offset) throws Exception {
        String topic = hundred();
        var came = Clients.read(clients.reader(topic, offset), 100 - offset);
        assertEquals(Clients.numbers(offset, 100), Clients.values(came));
    }

    @ParameterizedTest
    @CsvSource({"-1000000, 0", "0, 0", "1, 1", "37000, 37", "37001, 38", "99000, 99"})
    void anOffsetIsFoundByTime(long after, long offset) throws Exception {
        var partition = new TopicPartition(hundred(), 0);
        var found = clients.consumer(null).offsetsForTimes(Map.of(partition, BASE + after));
        assertEquals(offset, found.get(partition).offset());
        assertEquals(BASE + 1000 * offset, found.get(partition).timestamp());
    }

    @Test
    void noOffsetIsFoundForATimeAfterTheLastRecord() throws Exception {
        var partition = new TopicPartition(hundred(), 0);
        var found = clients.consumer(null).offsetsForTimes(Map.of(partition, BASE + 99_001));
        assertNull(found.get(partition));
    }

    @Test
    void beginningAndEndAreTheFirstAndTheNextOffset() throws Exception {
        var full = new TopicPartition(hundred(), 0);
        var empty = new TopicPartition(clients.createTopic(1), 0);
        var consumer = clients.consumer(null);
        assertEquals(Map.of(full, 0L, empty, 0L), consumer.beginningOffsets(List.of(full, empty)));
        assertEquals(Map.of(full, 100L, empty, 0L), consumer.endOffsets(List.of(full, empty)));
    }

    @Test
    void readCommittedSeesEverythingWithoutTransactions() throws Exception {
        String topic = hundred();
        var reader = clients.reader(topic, 0, "isolation.level", "read_committed");
        assertEquals(100, Clients.read(reader, 100).size());
    }

    @Test
    void aRecordLargerThanTheFetchLimitStillComes() throws Exception {
        String topic = clients.createTopic(1);
        String large = "x".repeat(300_000);
        for (String value : List.of("small", large, "small")) {
            Clients.send(clients.producer(), List.of(new ProducerRecord<>(topic, value)));
        }
        var reader = clients.reader(topic, 0, "max.partition.fetch.bytes", 1000, "fetch.max.bytes", 1000);
        assertEquals(List.of("small", large, "small"), Clients.values(Clients.read(reader, 3)));
    }

    @Test
    void aWaitingFetchIsAnsweredWhenARecordComes() throws Exception {
        String topic = clients.createTopic(1);
        var reader = clients.reader(topic, 0, "fetch.max.wait.ms", 9000);
        assertTrue(reader.poll(Duration.ofMillis(1000)).isEmpty());
        long sentAt = System.nanoTime();
        Clients.sendNumbers(clients.producer("linger.ms", 0), topic, 0, 1);
        Clients.read(reader, 1);
        assertTrue(System.nanoTime() - sentAt < TimeUnit.SECONDS.toNanos(3));
    }

    @Test
    void pollsGiveNoMoreThanTheirLimit() throws Exception {
        var reader = clients.reader(hundred(), 0, "max.poll.records", 7);
        int read = 0;
        while (read < 100) {
            var records = reader.poll(Duration.ofSeconds(5));
            assertTrue(!records.isEmpty() && records.count() <= 7);
            read += records.count();
        }
    }

    @Test
    void pausedPartitionsGiveNothing() throws Exception {
        var reader = clients.reader(hundred(), 0, "max.poll.records", 10);
        Clients.read(reader, 10);
        reader.pause(reader.assignment());
        assertTrue(reader.poll(Duration.ofMillis(500)).isEmpty());
        reader.resume(reader.assignment());
        assertEquals(10, Clients.read(reader, 10).get(0).offset());
    }

    @Test
    void manyPartitionsAreReadInOneSession() throws Exception {
        String topic = clients.createTopic(20);
        var producer = clients.producer();
        var consumer = clients.consumer(Clients.unique());
        consumer.subscribe(List.of(topic));
        for (int round = 0; round < 5; round++) {
            Clients.sendEach(producer, 0, 200, n -> new ProducerRecord<>(topic, n % 20, null, "" + n));
            assertEquals(200, Clients.read(consumer, 200).stream().map(r -> r.value()).distinct().count());
        }
    }

    @Test
    void topicsAreSubscribedToByPattern() throws Exception {
        String topic = clients.createTopic(1);
        Clients.sendNumbers(clients.producer(), topic, 0, 3);
        var consumer = clients.consumer(Clients.unique());
        consumer.subscribe(Pattern.compile(topic.substring(0, 10) + ".*"));
        assertEquals(Clients.numbers(0, 3), Clients.values(Clients.read(consumer, 3)));
    }

    @Test
    void aConsumersPartitionsAreTheTopics() throws Exception {
        String topic = clients.createTopic(3);
        var consumer = clients.consumer(null);
        var partitions = consumer.partitionsFor(topic);
        assertEquals(3, partitions.size());
        partitions.forEach(partition -> {
            assertEquals(1, partition.replicas().length);
            assertEquals(partition.leader().id(), partition.inSyncReplicas()[0].id());
        });
        assertTrue(consumer.listTopics().containsKey(topic));
    }
}
