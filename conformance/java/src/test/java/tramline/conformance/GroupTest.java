package tramline.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.NoOffsetForPartitionException;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.InconsistentGroupProtocolException;
import org.apache.kafka.common.errors.InvalidSessionTimeoutException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Consumer groups: commits, rebalances of every kind, static members. */
class GroupTest extends ClientTest {
    private static final String PACKAGE = "org.apache.kafka.clients.consumer.";

    /** A topic of four partitions with 25 records each; value n in partition n % 4. */
    private String four() throws Exception {
        String topic = clients.createTopic(4);
        send(topic, 0, 100);
        return topic;
    }

    private void send(String topic, int from, int to) throws Exception {
        Clients.sendEach(clients.producer(), from, to, n -> new ProducerRecord<>(topic, n % 4, null, "" + n));
    }

    private KafkaConsumer<String, String> member(String topic, Object... settings) {
        var member = clients.consumer("group-" + topic, settings);
        member.subscribe(List.of(topic));
        return member;
    }

    @Test
    void aCommitWithItsMetadataIsReadBackAndResumedFrom() throws Exception {
        String topic = clients.createTopic(1);
        var partition = new TopicPartition(topic, 0);
        Clients.sendNumbers(clients.producer(), topic, 0, 10);
        var first = member(topic, "max.poll.records", 4);
        Clients.read(first, 4);
        assertEquals(Map.of(), withoutNulls(first.committed(Set.of(partition))));
        first.commitSync(Map.of(partition, new OffsetAndMetadata(4, "here: ö")));
        assertEquals(new OffsetAndMetadata(4, "here: ö"), first.committed(Set.of(partition)).get(partition));
        clients.close(first);
        assertEquals(Clients.numbers(4, 10), Clients.values(Clients.read(member(topic), 6)));
    }

    private static Map<TopicPartition, OffsetAndMetadata> withoutNulls(
            Map<TopicPartition, OffsetAndMetadata> offsets) {
        offsets.values().removeIf(java.util.Objects::isNull);
        return offsets;
    }

    @Test
    void withoutACommitAndAPolicyThereIsAnError() throws Exception {
        String topic = clients.createTopic(1);
        var member = member(topic, "auto.offset.reset", "none");
        assertThrows(NoOffsetForPartitionException.class, () -> Clients.read(member, 1));
    }

    @ParameterizedTest
    @ValueSource(strings = {"RangeAssignor", "RoundRobinAssignor", "StickyAssignor", "CooperativeStickyAssignor"})
    void twoMembersShareAndOneInherits(String assignor) throws Exception {
        String topic = four();
        Object[] settings = {"partition.assignment.strategy", PACKAGE + assignor};
        var first = member(topic, settings);
        Clients.pollUntil(() -> Clients.held(first).size() == 4, first);
        var second = member(topic, settings);
        Clients.pollUntil(() -> Clients.held(first).size() == 2 && Clients.held(second).size() == 2, first, second);
        Set<Integer> both = Clients.held(first);
        both.addAll(Clients.held(second));
        assertEquals(Clients.set(0, 1, 2, 3), both);
        clients.close(first);
        Clients.pollUntil(() -> Clients.held(second).size() == 4, second);
    }

    @ParameterizedTest
    @ValueSource(strings = {"RangeAssignor", "CooperativeStickyAssignor"})
    void eachRecordComesOnceOverARebalanceWithCommits(String assignor) throws Exception {
        String topic = four();
        Object[] settings = {"partition.assignment.strategy", PACKAGE + assignor, "max.poll.records", 10};
        List<ConsumerRecord<String, String>> came = new ArrayList<>();
        var first = committing(topic, settings);
        came.addAll(Clients.read(first, 40));
        var second = committing(topic, settings);
        came.addAll(Clients.pollUntil(
                () -> Clients.held(first).size() == 2 && Clients.held(second).size() == 2, first, second));
        send(topic, 100, 140);
        while (came.size() < 140) {
            int had = came.size();
            came.addAll(Clients.pollUntil(() -> true, first, second));
            if (came.size() == had) {
                Clients.until(() -> came.addAll(Clients.pollUntil(() -> true, first, second)));
            }
        }
        assertEquals(140, came.size());
        assertEquals(140, came.stream().map(ConsumerRecord::value).distinct().count());
    }

    /** A member that commits what it has read before it gives partitions up. */
    private KafkaConsumer<String, String> committing(String topic, Object... settings) {
        var member = clients.consumer("group-" + topic, settings);
        member.subscribe(List.of(topic), new ConsumerRebalanceListener() {
            @Override
            public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                member.commitSync();
            }

            @Override
            public void onPartitionsAssigned(Collection<TopicPartition> partitions) {}
        });
        return member;
    }

    @Test
    void aStaticMemberComesBackWithoutARebalance() throws Exception {
        String topic = four();
        var rebalances = new AtomicInteger();
        var first = clients.consumer("group-" + topic, "group.instance.id", "first", "session.timeout.ms", 15_000);
        first.subscribe(List.of(topic), new ConsumerRebalanceListener() {
            @Override
            public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                rebalances.incrementAndGet();
            }

            @Override
            public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                rebalances.incrementAndGet();
            }
        });
        Clients.pollUntil(() -> Clients.held(first).size() == 4, first);
        var second = member(topic, "group.instance.id", "second", "session.timeout.ms", 15_000);
        Clients.pollUntil(() -> Clients.held(first).size() == 2 && Clients.held(second).size() == 2, first, second);
        var had = Clients.held(second);
        int seen = rebalances.get();
        clients.close(second);
        var again = member(topic, "group.instance.id", "second", "session.timeout.ms", 15_000);
        Clients.pollUntil(() -> Clients.held(again).size() == 2, first, again);
        long quietUntil = System.nanoTime() + Duration.ofMillis(1500).toNanos();
        Clients.pollUntil(() -> System.nanoTime() > quietUntil, first, again);
        assertEquals(had, Clients.held(again));
        assertEquals(seen, rebalances.get());
    }

    @Test
    void aSecondHolderOfAnInstanceIdFencesTheFirst() throws Exception {
        String topic = four();
        var first = member(topic, "group.instance.id", "only");
        Clients.pollUntil(() -> Clients.held(first).size() == 4, first);
        var second = member(topic, "group.instance.id", "only");
        Clients.pollUntil(() -> Clients.held(second).size() == 4, second);
        assertThrows(FencedInstanceIdException.class, () -> Clients.pollUntil(() -> false, first));
    }

    @Test
    void aStaticMemberIsRemovedByAnAdministrator() throws Exception {
        String topic = four();
        var first = member(topic, "group.instance.id", "first", "session.timeout.ms", 60_000);
        Clients.pollUntil(() -> Clients.held(first).size() == 4, first);
        clients.close(first);
        var second = member(topic);
        var options = new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("first")));
        Clients.get(clients.admin().removeMembersFromConsumerGroup("group-" + topic, options).all());
        Clients.pollUntil(() -> Clients.held(second).size() == 4, second);
    }

    @Test
    void aMemberThatStopsPollingLosesItsPartitionsAndItsCommit() throws Exception {
        String topic = four();
        var slow = member(topic, "max.poll.interval.ms", 1000);
        Clients.pollUntil(() -> Clients.held(slow).size() == 4, slow);
        var heir = member(topic);
        Clients.pollUntil(() -> Clients.held(heir).size() == 4, heir);
        var offsets = Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(1));
        assertThrows(CommitFailedException.class, () -> slow.commitSync(offsets));
    }

    @Test
    void aSessionTimeoutOutsideTheBrokersRangeIsRefused() throws Exception {
        String topic = clients.createTopic(1);
        for (int timeout : new int[] {1000, 24 * 3600 * 1000}) {
            var member = member(topic, "session.timeout.ms", timeout, "heartbeat.interval.ms", 300);
            assertThrows(InvalidSessionTimeoutException.class, () -> Clients.read(member, 1));
        }
    }

    @Test
    void membersWithoutACommonStrategyAreRefused() throws Exception {
        String topic = four();
        var first = member(topic, "partition.assignment.strategy", PACKAGE + "RangeAssignor");
        Clients.pollUntil(() -> Clients.held(first).size() == 4, first);
        var second = member(topic, "partition.assignment.strategy", PACKAGE + "RoundRobinAssignor");
        assertThrows(InconsistentGroupProtocolException.class, () -> Clients.read(second, 1));
    }

    @Test
    void aMemberMayAskForARebalance() throws Exception {
        String topic = four();
        var member = member(topic);
        Clients.pollUntil(() -> Clients.held(member).size() == 4, member);
        int generation = member.groupMetadata().generationId();
        member.enforceRebalance();
        Clients.pollUntil(() -> member.groupMetadata().generationId() > generation, member);
        assertTrue(Clients.held(member).size() == 4);
    }
}
