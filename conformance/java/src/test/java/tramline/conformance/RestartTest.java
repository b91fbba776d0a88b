package tramline.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
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
        assertEquals(Clients.numbers(10, 20), Clients.values(Clients.read(member, 10)));
        member.commitSync();
        clients.close(member);
        restart(how);
        Clients.sendNumbers(producer, topic, 20, 25);
        var successor = clients.consumer("group-" + topic);
        successor.subscribe(List.of(topic));
        assertEquals(Clients.numbers(20, 25), Clients.values(Clients.read(successor, 5)));
    }

    @ParameterizedTest
    @CsvSource({"stop,false", "kill,false", "stop,true", "kill,true"})
    void membersKeepTheirGenerationAndPartitionsOverARestart(String how, boolean isStatic) throws Exception {
        String topic = clients.createTopic(2);
        var moves = new AtomicInteger();
        var members = new ArrayList<KafkaConsumer<String, String>>();
        for (int n = 0; n < 2; n++) {
            Object[] name = isStatic ? new Object[] {"group.instance.id", "member-" + n} : new Object[0];
            var member = clients.consumer("group-" + topic, name);
            member.subscribe(List.of(topic), counting(moves));
            members.add(member);
        }
        var first = members.get(0);
        var second = members.get(1);
        Clients.pollUntil(() -> Clients.held(first).size() == 1 && Clients.held(second).size() == 1, first, second);
        var producer = clients.producer();
        Clients.sendEach(producer, 0, 20, n -> new ProducerRecord<>(topic, n % 2, null, "" + n));
        Clients.read(first, 10);
        Clients.read(second, 10);
        var before = List.of(first.groupMetadata(), second.groupMetadata());
        var holding = List.of(Clients.held(first), Clients.held(second));
        int moved = moves.get();
        restart(how);
        first.commitSync();
        second.commitSync();
        Clients.sendEach(producer, 20, 40, n -> new ProducerRecord<>(topic, n % 2, null, "" + n));
        Clients.read(first, 10);
        Clients.read(second, 10);
        first.commitSync();
        second.commitSync();
        assertEquals(moved, moves.get(), "partitions were given or taken");
        assertEquals(holding, List.of(Clients.held(first), Clients.held(second)));
        assertEquals(before.toString(), List.of(first.groupMetadata(), second.groupMetadata()).toString());
    }

    /** Counts every call. */
    private static ConsumerRebalanceListener counting(AtomicInteger moves) {
        return new ConsumerRebalanceListener() {
            @Override
            public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                moves.incrementAndGet();
            }

            @Override
            public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                moves.incrementAndGet();
            }
        };
    }

    @ParameterizedTest
    @ValueSource(strings = {"stop", "kill"})
    void aMemberThatDiedWithTheBrokerGivesItsPartitionsUp(String how) throws Exception {
        String topic = clients.createTopic(2);
        var first = clients.consumer("group-" + topic, "group.instance.id", "one");
        var second = clients.consumer("group-" + topic, "group.instance.id", "two");
        first.subscribe(List.of(topic));
        second.subscribe(List.of(topic));
        Clients.pollUntil(() -> Clients.held(first).size() == 1 && Clients.held(second).size() == 1, first, second);
        clients.close(second); // A static member does not say that it leaves.
        restart(how);
        assertEquals(1, Clients.held(first).size());
        Clients.pollUntil(() -> Clients.held(first).size() == 2, first);
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
