package tramline.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Over a restart, clean or by kill -9, nothing acknowledged is lost and clients go on. */
class RestartTest {
    private Broker broker;
    private Clients clients;

    @BeforeEach
    void open() {
        broker = Broker.own();
        clients = new Clients(broker);
    }

    @AfterEach
    void close() throws Exception {
        clients.close();
        broker.close();
    }

    private void restart(String how) {
        if (how.equals("kill")) {
            broker.kill();
        } else {
            broker.stop();
        }
        broker.start();
    }

    @ParameterizedTest
    @ValueSource(strings = {"stop", "kill"})
    void acknowledgedRecordsAreThereAfterwards(String how) throws Exception {
        String topic = clients.createTopic(1);
        Clients.sendNumbers(clients.producer(), topic, 0, 500);
        restart(how);
        assertEquals(Clients.numbers(0, 500), Clients.values(Clients.read(clients.reader(topic, 0), 500)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"stop", "kill"})
    void anIdempotentProducerGoesOnWithoutGapOrDouble(String how) throws Exception {
        String topic = clients.createTopic(1);
        var producer = clients.producer();
        for (int part = 0; part < 3; part++) {
            Clients.sendNumbers(producer, topic, part * 100, (part + 1) * 100);
            restart(how);
        }
        assertEquals(Clients.numbers(0, 300), Clients.values(Clients.read(clients.reader(topic, 0), 300)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"stop", "kill"})
    void aMemberGoesOnAndItsSuccessorResumes(String how) throws Exception {
        String topic = clients.createTopic(1);
        var producer = clients.producer();
        Clients.sendNumbers(producer, topic, 0, 10);
        var member = clients.consumer("group-" + topic);
        member.subscribe(List.of(topic));
        Clients.read(member, 10);
        member.commitSync();
        restart(how);
        Clients.sendNumbers(producer, topic, 10, 20);
        var came = new TreeSet<>(Clients.values(Clients.read(member, 10)));
        assertEquals(new TreeSet<>(Clients.numbers(10, 20)), came);
        Clients.until(() -> hasCommitted(member, new TopicPartition(topic, 0), 20));
        clients.close(member);
        restart(how);
        Clients.sendNumbers(producer, topic, 20, 25);
        var successor = clients.consumer("group-" + topic);
        successor.subscribe(List.of(topic));
        assertEquals(Clients.numbers(20, 25), Clients.values(Clients.read(successor, 5)));
    }

    /** Polls, so that a member that the broker forgot joins again and reads, and commits. */
    private static boolean hasCommitted(
            KafkaConsumer<String, String> member, TopicPartition partition, long offset) {
        member.poll(Duration.ofMillis(100));
        try {
            member.commitSync();
        } catch (CommitFailedException error) {
            return false;
        }
        var committed = member.committed(Set.of(partition)).get(partition);
        return committed != null && committed.offset() == offset;
    }

    @ParameterizedTest
    @ValueSource(strings = {"stop", "kill"})
    void topicIdsAndCommitsStayTheSame(String how) throws Exception {
        String topic = clients.createTopic(2);
        Clients.send(clients.producer(), List.of(new ProducerRecord<>(topic, 1, null, "v")));
        var before = Clients.get(clients.admin().describeTopics(List.of(topic)).allTopicNames()).get(topic);
        var cluster = Clients.get(clients.admin().describeCluster().clusterId());
        restart(how);
        var after = Clients.get(clients.admin().describeTopics(List.of(topic)).allTopicNames()).get(topic);
        assertEquals(before.topicId(), after.topicId());
        assertEquals(cluster, Clients.get(clients.admin().describeCluster().clusterId()));
        var partition = new TopicPartition(topic, 1);
        assertEquals(1, clients.consumer(null).endOffsets(Set.of(partition)).get(partition));
    }
}
