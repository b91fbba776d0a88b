package tramline.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.ListConfigResourcesOptions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ElectionNotNeededException;
import org.apache.kafka.common.errors.InvalidRequestException;
import org.apache.kafka.common.errors.OffsetOutOfRangeException;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.quota.ClientQuotaFilterComponent;
import org.junit.jupiter.api.Test;

/** What operators' tools call beside topics and groups. */
class ToolsTest extends ClientTest {
    private long earliest(TopicPartition partition) throws ExecutionException {
        var asked = clients.admin().listOffsets(Map.of(partition, OffsetSpec.earliest()));
        return Clients.get(asked.all()).get(partition).offset();
    }

    @Test
    void recordsAreDeletedUpToAnOffset() throws Exception {
        String topic = clients.createTopic(1);
        Clients.sendNumbers(clients.producer(), topic, 0, 10);
        var partition = new TopicPartition(topic, 0);
        var deleted = clients.admin().deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(4)));
        assertEquals(4, Clients.get(deleted.lowWatermarks().get(partition)).lowWatermark());
        assertEquals(4, earliest(partition));
        assertEquals(List.of("4", "5"), Clients.values(Clients.read(clients.reader(topic, 0), 6)).subList(0, 2));
        var beyond = clients.admin().deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(11)));
        Clients.fails(OffsetOutOfRangeException.class, beyond.all());
        var all = clients.admin().deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(-1)));
        assertEquals(10, Clients.get(all.lowWatermarks().get(partition)).lowWatermark());
    }

    @Test
    void logDirectoriesTellTheSizesOfPartitions() throws Exception {
        String topic = clients.createTopic(2);
        Clients.sendEach(clients.producer(), 0, 10, n -> new ProducerRecord<>(topic, 0, null, "" + n));
        int node = Clients.get(clients.admin().describeCluster().nodes()).iterator().next().id();
        var directories = Clients.get(clients.admin().describeLogDirs(List.of(node)).allDescriptions()).get(node);
        assertEquals(1, directories.size());
        var directory = directories.values().iterator().next();
        var replicas = directory.replicaInfos();
        assertTrue(replicas.get(new TopicPartition(topic, 0)).size() > 0);
        assertEquals(0, replicas.get(new TopicPartition(topic, 1)).size());
        assertTrue(directory.usableBytes().isPresent());
        assertTrue(directory.totalBytes().orElse(0) >= directory.usableBytes().getAsLong());
    }

    @Test
    void idempotentProducersAreDescribed() throws Exception {
        String topic = clients.createTopic(1);
        Clients.sendNumbers(clients.producer("enable.idempotence", "true"), topic, 0, 7);
        var partition = new TopicPartition(topic, 0);
        var asked = clients.admin().describeProducers(List.of(partition));
        var producers = Clients.get(asked.partitionResult(partition)).activeProducers();
        assertEquals(1, producers.size());
        assertEquals(6, producers.get(0).lastSequence());
        assertTrue(producers.get(0).currentTransactionStartOffset().isEmpty());
    }

    @Test
    void leadersNeedNoElection() throws Exception {
        var partition = new TopicPartition(clients.createTopic(1), 0);
        for (ElectionType type : ElectionType.values()) {
            var elected = Clients.get(clients.admin().electLeaders(type, Set.of(partition)).partitions());
            assertEquals(ElectionNotNeededException.class, elected.get(partition).orElseThrow().getClass());
            assertTrue(Clients.get(clients.admin().electLeaders(type, null).partitions()).isEmpty());
        }
    }

    @Test
    void theQuorumIsThisNodeAndNothingIsReassigned() throws Exception {
        var quorum = Clients.get(clients.admin().describeMetadataQuorum().quorumInfo());
        assertEquals(1, quorum.voters().size());
        assertEquals(quorum.leaderId(), quorum.voters().get(0).replicaId());
        assertTrue(quorum.observers().isEmpty());
        assertEquals(Set.of(quorum.leaderId()), quorum.nodes().keySet());
        assertTrue(Clients.get(clients.admin().listPartitionReassignments().reassignments()).isEmpty());
    }

    private Map<ClientQuotaEntity, Map<String, Double>> quotas(String client) throws ExecutionException {
        var filter = ClientQuotaFilter.containsOnly(
            List.of(ClientQuotaFilterComponent.ofEntity(ClientQuotaEntity.CLIENT_ID, client)));
        return Clients.get(clients.admin().describeClientQuotas(filter).entities());
    }

    private void alter(ClientQuotaEntity entity, String key, Double value) throws ExecutionException {
        var op = new ClientQuotaAlteration.Op(key, value);
        Clients.get(clients.admin().alterClientQuotas(List.of(new ClientQuotaAlteration(entity, List.of(op)))).all());
    }

    @Test
    void quotasAreSetDescribedEnforcedAndRemoved() throws Exception {
        String topic = clients.createTopic(1);
        String id = Clients.unique();
        var entity = new ClientQuotaEntity(Map.of(ClientQuotaEntity.CLIENT_ID, id));
        alter(entity, "producer_byte_rate", 20_000.0);
        assertEquals(Map.of(entity, Map.of("producer_byte_rate", 20_000.0)), quotas(id));
        var producer = clients.producer("client.id", id, "batch.size", "100000", "linger.ms", "0");
        // A burst of ten seconds is 200,000 bytes; what is above it waits.
        String large = "x".repeat(60_000);
        Clients.sendEach(producer, 0, 5, n -> new ProducerRecord<>(topic, 0, null, large));
        var throttled = producer.metrics().entrySet().stream()
            .filter(metric -> metric.getKey().name().equals("produce-throttle-time-max"))
            .mapToDouble(metric -> (Double) metric.getValue().metricValue()).max().orElseThrow();
        assertTrue(throttled > 0, "it was never told to wait");
        alter(entity, "producer_byte_rate", null);
        assertTrue(quotas(id).isEmpty());
        var wrong = new ClientQuotaAlteration(entity, List.of(new ClientQuotaAlteration.Op("no_rate", 1.0)));
        Clients.fails(InvalidRequestException.class, clients.admin().alterClientQuotas(List.of(wrong)).all());
    }

    private Collection<String> resources(ConfigResource.Type type) throws ExecutionException {
        var listed = clients.admin().listConfigResources(Set.of(type), new ListConfigResourcesOptions());
        return Clients.get(listed.all()).stream().map(ConfigResource::name).collect(Collectors.toSet());
    }

    @Test
    void whatHasSettingsIsListed() throws Exception {
        String topic = clients.createTopic(1);
        assertTrue(resources(ConfigResource.Type.TOPIC).contains(topic));
        assertEquals(1, resources(ConfigResource.Type.BROKER).size());
        assertTrue(resources(ConfigResource.Type.CLIENT_METRICS).isEmpty());
    }

    @Test
    void topicsAreDescribedPageByPage() throws Exception {
        var topics = IntStream.range(0, 3).mapToObj(n -> {
            try {
                return clients.createTopic(5);
            } catch (Exception error) {
                throw new AssertionError(error);
            }
        }).collect(Collectors.toSet());
        var options = new DescribeTopicsOptions().partitionSizeLimitPerResponse(4);
        var described = Clients.get(clients.admin().describeTopics(topics, options).allTopicNames());
        assertEquals(topics, described.keySet());
        described.values().forEach(topic -> {
            var partitions = topic.partitions().stream().map(partition -> partition.partition()).toList();
            assertEquals(List.of(0, 1, 2, 3, 4), partitions);
        });
    }
}
