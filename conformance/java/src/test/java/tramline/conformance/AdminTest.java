package tramline.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.UnknownMemberIdException;
import org.junit.jupiter.api.Test;

/** Administration: topics, their settings and partitions, groups and their offsets. */
class AdminTest extends ClientTest {
    private TopicDescription describe(String topic) throws ExecutionException {
        return Clients.get(clients.admin().describeTopics(List.of(topic)).allTopicNames()).get(topic);
    }

    private Config settings(ConfigResource.Type kind, String name) throws ExecutionException {
        var resource = new ConfigResource(kind, name);
        return Clients.get(clients.admin().describeConfigs(List.of(resource)).all()).get(resource);
    }

    private Set<String> topics() throws ExecutionException {
        return Clients.get(clients.admin().listTopics().names());
    }

    /** The name of a group and of its topic; the group has one member and a commit per partition. */
    private String group() throws Exception {
        String topic = clients.createTopic(2);
        Clients.sendEach(clients.producer(), 0, 4, n -> new ProducerRecord<>(topic, n % 2, null, "" + n));
        var member = clients.consumer(topic, "client.id", "the-member");
        member.subscribe(List.of(topic));
        Clients.read(member, 4);
        member.commitSync();
        return topic;
    }

    private GroupState state(String group) {
        try {
            return Clients.get(clients.admin().describeConsumerGroups(List.of(group)).all()).get(group).groupState();
        } catch (ExecutionException error) {
            throw new AssertionError(error);
        }
    }

    private void empty(String group) throws Exception {
        Clients.get(clients.admin().removeMembersFromConsumerGroup(group,
                new org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions()).all());
        Clients.until(() -> state(group) == GroupState.EMPTY);
    }

    @Test
    void aTopicIsCreatedDescribedListedAndDeleted() throws Exception {
        String topic = clients.createTopic(3);
        TopicDescription description = describe(topic);
        assertEquals(3, description.partitions().size());
        assertEquals(1, description.partitions().get(0).replicas().size());
        assertFalse(description.isInternal());
        assertNotEquals(Uuid.ZERO_UUID, description.topicId());
        assertTrue(topics().contains(topic));
        Clients.get(clients.admin().deleteTopics(List.of(topic)).all());
        assertFalse(topics().contains(topic));
    }

    @Test
    void creationTellsWhatWasMade() throws Exception {
        String name = Clients.unique();
        var topic = new NewTopic(name, Optional.of(2), Optional.empty()).configs(Map.of("retention.ms", "1000"));
        var made = clients.admin().createTopics(List.of(topic));
        assertEquals(2, Clients.get(made.numPartitions(name)));
        assertEquals(1, Clients.get(made.replicationFactor(name)));
        assertEquals("1000", Clients.get(made.config(name)).get("retention.ms").value());
        assertEquals(describe(name).topicId(), Clients.get(made.topicId(name)));
    }

    @Test
    void validationAloneCreatesNothing() throws Exception {
        String name = Clients.unique();
        var topic = new NewTopic(name, 2, (short) 1);
        var options = new CreateTopicsOptions().validateOnly(true);
        Clients.get(clients.admin().createTopics(List.of(topic), options).all());
        assertFalse(topics().contains(name));
    }

    @Test
    void aTopicIsDescribedAndDeletedByItsId() throws Exception {
        String topic = clients.createTopic(1);
        var ids = TopicCollection.ofTopicIds(List.of(describe(topic).topicId()));
        var byId = Clients.get(clients.admin().describeTopics(ids).allTopicIds());
        assertEquals(topic, byId.values().iterator().next().name());
        Clients.get(clients.admin().deleteTopics(ids).all());
        assertFalse(topics().contains(topic));
    }

    @Test
    void aTopicMadeAnewHasAnotherIdAndIsEmpty() throws Exception {
        String topic = clients.createTopic(1);
        Uuid id = describe(topic).topicId();
        Clients.sendNumbers(clients.producer(), topic, 0, 5);
        Clients.get(clients.admin().deleteTopics(List.of(topic)).all());
        Clients.get(clients.admin().createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all());
        assertNotEquals(id, describe(topic).topicId());
        assertEquals(0, Clients.sendNumbers(clients.producer(), topic, 7, 8).get(0).offset());
        assertEquals(List.of("7"), Clients.values(Clients.read(clients.reader(topic, 0), 1)));
    }

    @Test
    void partitionsAreAddedButNotRemoved() throws Exception {
        String topic = clients.createTopic(2);
        Clients.get(clients.admin().createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all());
        assertEquals(5, describe(topic).partitions().size());
        for (int total : new int[] {5, 3}) {
            var request = clients.admin().createPartitions(Map.of(topic, NewPartitions.increaseTo(total)));
            Clients.fails(InvalidPartitionsException.class, request.all());
        }
    }

    @Test
    void topicSettingsAreDescribedWithDefaultSourceAndKind() throws Exception {
        String topic = clients.createTopic(1, "retention.ms", "86400000");
        Config settings = settings(ConfigResource.Type.TOPIC, topic);
        ConfigEntry retention = settings.get("retention.ms");
        assertEquals("86400000", retention.value());
        assertEquals(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, retention.source());
        assertEquals(ConfigEntry.ConfigType.LONG, retention.type());
        ConfigEntry policy = settings.get("cleanup.policy");
        assertEquals("delete", policy.value());
        assertEquals(ConfigEntry.ConfigSource.DEFAULT_CONFIG, policy.source());
        assertEquals(ConfigEntry.ConfigType.LIST, policy.type());
        assertEquals("1048588", settings.get("max.message.bytes").value());
    }

    @Test
    void brokerSettingsAreDescribed() throws Exception {
        int node = Clients.get(clients.admin().describeCluster().controller()).id();
        Config settings = settings(ConfigResource.Type.BROKER, Integer.toString(node));
        assertEquals("1", settings.get("num.partitions").value());
        assertEquals("true", settings.get("auto.create.topics.enable").value());
    }

    @Test
    void oneSettingIsAlteredAndResetAloneAndAWrongOneRefused() throws Exception {
        String topic = clients.createTopic(1, "retention.bytes", "1000000000");
        alter(topic, "retention.ms", "60000", AlterConfigOp.OpType.SET);
        Config settings = settings(ConfigResource.Type.TOPIC, topic);
        assertEquals("60000", settings.get("retention.ms").value());
        assertEquals("1000000000", settings.get("retention.bytes").value());
        alter(topic, "retention.ms", "", AlterConfigOp.OpType.DELETE);
        assertEquals("604800000", settings(ConfigResource.Type.TOPIC, topic).get("retention.ms").value());
        var change = new AlterConfigOp(new ConfigEntry("retention.ms", "soon"), AlterConfigOp.OpType.SET);
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        var request = clients.admin().incrementalAlterConfigs(Map.of(resource, List.of(change)));
        Clients.fails(InvalidConfigurationException.class, request.all());
    }

    private void alter(String topic, String name, String value, AlterConfigOp.OpType kind) throws Exception {
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        var change = new AlterConfigOp(new ConfigEntry(name, value), kind);
        Clients.get(clients.admin().incrementalAlterConfigs(Map.of(resource, List.of(change))).all());
    }

    @Test
    void offsetsAreListedBySpecification() throws Exception {
        String topic = clients.createTopic(1);
        var partition = new TopicPartition(topic, 0);
        long[] stamps = {100_000, 900_000, 500_000};
        for (long stamp : stamps) {
            Clients.send(clients.producer(), List.of(new ProducerRecord<>(topic, 0, stamp, null, "v")));
        }
        Map<OffsetSpec, Long> wanted = Map.of(
                OffsetSpec.earliest(), 0L, OffsetSpec.latest(), 3L, OffsetSpec.maxTimestamp(), 1L,
                OffsetSpec.forTimestamp(400_000), 1L, OffsetSpec.forTimestamp(900_001), -1L,
                OffsetSpec.earliestLocal(), 0L);
        for (var entry : wanted.entrySet()) {
            var request = clients.admin().listOffsets(Map.of(partition, entry.getKey()));
            long offset = Clients.get(request.partitionResult(partition)).offset();
            assertEquals(entry.getValue(), offset, () -> entry.getKey().getClass().getSimpleName());
        }
        var tiered = clients.admin().listOffsets(Map.of(partition, OffsetSpec.latestTiered()));
        assertEquals(-1, Clients.get(tiered.partitionResult(partition)).offset());
    }

    @Test
    void groupsAreListedAndDescribed() throws Exception {
        String group = group();
        var listed = Clients.get(clients.admin().listGroups().all()).stream()
                .filter(one -> one.groupId().equals(group)).findFirst().orElseThrow();
        assertEquals("consumer", listed.protocol());
        assertEquals(Optional.of(GroupState.STABLE), listed.groupState());
        var described = Clients.get(clients.admin().describeConsumerGroups(List.of(group)).all()).get(group);
        assertEquals("range", described.partitionAssignor());
        var member = described.members().iterator().next();
        assertEquals("the-member", member.clientId());
        assertEquals(2, member.assignment().topicPartitions().size());
    }

    @Test
    void committedOffsetsAreListedAndAlteredOnceTheGroupIsEmpty() throws Exception {
        String group = group();
        var zero = new TopicPartition(group, 0);
        var one = new TopicPartition(group, 1);
        var expected = Map.of(zero, new OffsetAndMetadata(2), one, new OffsetAndMetadata(2));
        var offsets = Clients.get(clients.admin().listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
        assertEquals(2, offsets.get(zero).offset());
        assertEquals(expected.keySet(), offsets.keySet());
        var change = Map.of(zero, new OffsetAndMetadata(1));
        Clients.fails(UnknownMemberIdException.class,
                clients.admin().alterConsumerGroupOffsets(group, change).all());
        empty(group);
        Clients.get(clients.admin().alterConsumerGroupOffsets(group, change).all());
        offsets = Clients.get(clients.admin().listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
        assertEquals(1, offsets.get(zero).offset());
        assertEquals(2, offsets.get(one).offset());
    }

    @Test
    void aGroupIsDeletedWhenItIsEmpty() throws Exception {
        String group = group();
        Clients.fails(GroupNotEmptyException.class, clients.admin().deleteConsumerGroups(List.of(group)).all());
        empty(group);
        Clients.get(clients.admin().deleteConsumerGroups(List.of(group)).all());
        Clients.fails(GroupIdNotFoundException.class, clients.admin().deleteConsumerGroups(List.of(group)).all());
    }

    @Test
    void theClusterIsDescribed() throws Exception {
        var cluster = clients.admin().describeCluster();
        assertEquals(22, Clients.get(cluster.clusterId()).length());
        var nodes = Clients.get(cluster.nodes());
        assertEquals(1, nodes.size());
        var node = nodes.iterator().next();
        assertEquals(Broker.shared().kafka(), node.host() + ":" + node.port());
        assertEquals(node, Clients.get(cluster.controller()));
    }
}
