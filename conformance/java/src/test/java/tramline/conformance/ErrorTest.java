package tramline.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTimestampException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.OffsetMetadataTooLarge;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What is refused, and with which error. */
class ErrorTest extends ClientTest {
    private Future<Void> create(NewTopic topic) {
        return clients.admin().createTopics(List.of(topic)).all();
    }

    @Test
    void producingToAnUnknownTopicCreatesIt() throws Exception {
        String topic = Clients.unique();
        var sent = Clients.send(clients.producer(), List.of(new ProducerRecord<>(topic, "v")));
        assertEquals(0, sent.get(0).offset());
        assertEquals("v", Clients.read(clients.reader(topic, 0), 1).get(0).value());
    }

    @Test
    void aClientThatForbidsItCreatesNoTopic() throws Exception {
        String topic = Clients.unique();
        var consumer = clients.consumer(Clients.unique(), "allow.auto.create.topics", false);
        consumer.subscribe(List.of(topic));
        consumer.poll(java.time.Duration.ofMillis(500));
        assertTrue(!Clients.get(clients.admin().listTopics().names()).contains(topic));
        Clients.fails(UnknownTopicOrPartitionException.class,
                clients.admin().describeTopics(List.of(topic)).allTopicNames());
    }

    @Test
    void anUnknownTopicIdIsRefused() {
        var ids = TopicCollection.ofTopicIds(List.of(Uuid.randomUuid()));
        Clients.fails(UnknownTopicIdException.class, clients.admin().describeTopics(ids).allTopicIds());
        Clients.fails(UnknownTopicIdException.class, clients.admin().deleteTopics(ids).all());
    }

    @Test
    void aBatchAboveTheLimitIsRefusedAndSmallerOnesGoOn() throws Exception {
        String topic = clients.createTopic(1, "max.message.bytes", "10000");
        var producer = clients.producer("max.request.size", 5_000_000);
        Clients.fails(RecordTooLargeException.class,
                producer.send(new ProducerRecord<>(topic, "x".repeat(20_000))));
        Clients.send(producer, List.of(new ProducerRecord<>(topic, "x".repeat(9_000))));
        assertEquals(1, Clients.read(clients.reader(topic, 0), 1).size());
    }

    @Test
    void severalSmallRecordsThatTogetherAreTooLargeAreSplitAndKept() throws Exception {
        String topic = clients.createTopic(1, "max.message.bytes", "10000");
        var producer = clients.producer("batch.size", 100_000, "linger.ms", 200);
        Clients.sendEach(producer, 0, 50, n -> new ProducerRecord<>(topic, n + "x".repeat(1000)));
        assertEquals(50, Clients.read(clients.reader(topic, 0), 50).size());
    }

    @ParameterizedTest
    @ValueSource(strings = {"two words", "a/b", "..", "."})
    void namesThatKafkaCannotSpellAreRefused(String name) {
        Clients.fails(InvalidTopicException.class, create(new NewTopic(name, 1, (short) 1)));
        assertThrows(Exception.class, () -> Clients.send(
                clients.producer("max.block.ms", 2000), List.of(new ProducerRecord<>(name, "v"))));
    }

    @Test
    void moreCopiesThanThereAreNodesAreRefused() {
        Clients.fails(InvalidReplicationFactorException.class, create(new NewTopic(Clients.unique(), 1, (short) 3)));
    }

    @Test
    void aTopicWithoutPartitionsIsRefused() {
        Clients.fails(InvalidPartitionsException.class, create(new NewTopic(Clients.unique(), 0, (short) 1)));
    }

    @Test
    void settingsThatDoNotFitAreRefused() {
        var topic = new NewTopic(Clients.unique(), 1, (short) 1).configs(Map.of("retention.ms", "soon"));
        Clients.fails(InvalidConfigurationException.class, create(topic));
    }

    @Test
    void aTopicThatExistsIsNotCreatedAgain() throws Exception {
        String name = clients.createTopic(1);
        Clients.fails(TopicExistsException.class, create(new NewTopic(name, 1, (short) 1)));
    }

    @Test
    void anOffsetOutOfRangeIsAnErrorWithoutAResetPolicy() throws Exception {
        String topic = clients.createTopic(1);
        Clients.sendNumbers(clients.producer(), topic, 0, 5);
        var reader = clients.reader(topic, 1000, "auto.offset.reset", "none");
        assertThrows(OffsetOutOfRangeException.class, () -> Clients.read(reader, 1));
    }

    @Test
    void aTimestampFarAheadOfTheBrokersClockIsRefused() throws Exception {
        String topic = clients.createTopic(1);
        long ahead = System.currentTimeMillis() + 2 * 3600 * 1000;
        Clients.fails(InvalidTimestampException.class,
                clients.producer().send(new ProducerRecord<>(topic, 0, ahead, null, "v")));
    }

    @Test
    void commitMetadataAboveTheLimitIsRefused() throws Exception {
        String topic = clients.createTopic(1);
        var consumer = clients.consumer(Clients.unique());
        var offset = new OffsetAndMetadata(1, "x".repeat(5000));
        assertThrows(OffsetMetadataTooLarge.class,
                () -> consumer.commitSync(Map.of(new TopicPartition(topic, 0), offset)));
    }
}
