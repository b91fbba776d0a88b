package sarama

import (
	"testing"

	"github.com/IBM/sarama"
	"tramline/conformance/broker"
)

func settings(t *testing.T, topic string) map[string]string {
	t.Helper()
	entries, err := admin(t).DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
	check(t, err)
	values := make(map[string]string)
	for _, entry := range entries {
		values[entry.Name] = entry.Value
	}
	return values
}

func TestATopicIsCreatedListedDescribedAndDeleted(t *testing.T) {
	one, topic := admin(t), broker.Name()
	detail := &sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: 1}
	check(t, one.CreateTopic(topic, detail, true))
	listed, err := one.ListTopics()
	check(t, err)
	_, ok := listed[topic]
	same(t, ok, false)
	check(t, one.CreateTopic(topic, detail, false))
	refused(t, one.CreateTopic(topic, detail, false), sarama.ErrTopicAlreadyExists)
	listed, err = one.ListTopics()
	check(t, err)
	same(t, listed[topic].NumPartitions, 3)
	same(t, listed[topic].ReplicationFactor, 1)
	described, err := one.DescribeTopics([]string{topic})
	check(t, err)
	same(t, len(described[0].Partitions), 3)
	check(t, one.DeleteTopic(topic))
	refused(t, one.DeleteTopic(topic), sarama.ErrUnknownTopicOrPartition)
}

func TestMoreReplicasThanThereAreCopiesAreRefused(t *testing.T) {
	detail := &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 3}
	refused(t, admin(t).CreateTopic(broker.Name(), detail, false), sarama.ErrInvalidReplicationFactor)
}

func TestPartitionsAreAddedButNotRemoved(t *testing.T) {
	one, topic := admin(t), create(t, 2)
	check(t, one.CreatePartitions(topic, 5, nil, false))
	if one.CreatePartitions(topic, 3, nil, false) == nil {
		t.Fatal("partitions were removed")
	}
	described, err := one.DescribeTopics([]string{topic})
	check(t, err)
	same(t, len(described[0].Partitions), 5)
}

func TestSettingsOfATopicAreAlteredOneByOne(t *testing.T) {
	topic := createOn(t, shared, 1, map[string]string{"retention.ms": "86400000"})
	bytes := "1000000"
	alter := func(name string, entry sarama.IncrementalAlterConfigsEntry) error {
		entries := map[string]sarama.IncrementalAlterConfigsEntry{name: entry}
		return admin(t).IncrementalAlterConfig(sarama.TopicResource, topic, entries, false)
	}
	set := sarama.IncrementalAlterConfigsEntry{Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &bytes}
	check(t, alter("retention.bytes", set))
	same(t, settings(t, topic)["retention.bytes"], bytes)
	same(t, settings(t, topic)["retention.ms"], "86400000")
	check(t, alter("retention.ms", sarama.IncrementalAlterConfigsEntry{Operation: sarama.IncrementalAlterConfigsOperationDelete}))
	same(t, settings(t, topic)["retention.ms"], "604800000")
	wrong := "soon"
	set.Value = &wrong
	if alter("retention.ms", set) == nil {
		t.Fatal("a wrong value was taken")
	}
}

func TestSettingsOfATopicAreReplacedAtOnce(t *testing.T) {
	topic := createOn(t, shared, 1, map[string]string{"retention.ms": "86400000"})
	bytes := "1000000"
	check(t, admin(t).AlterConfig(sarama.TopicResource, topic, map[string]*string{"retention.bytes": &bytes}, false))
	same(t, settings(t, topic)["retention.bytes"], bytes)
	same(t, settings(t, topic)["retention.ms"], "604800000")
}

func TestTheClusterIsDescribed(t *testing.T) {
	brokers, controller, err := admin(t).DescribeCluster()
	check(t, err)
	same(t, len(brokers), 1)
	same(t, brokers[0].Addr(), shared.Kafka)
	same(t, controller, brokers[0].ID())
}

func TestGroupsAreListedAndDescribed(t *testing.T) {
	topic, group := hundred(t), broker.Name()
	member := join(t, shared, group, topic)
	read(t, member.messages, 1)
	listed, err := admin(t).ListConsumerGroups()
	check(t, err)
	same(t, listed[group], "consumer")
	described, err := admin(t).DescribeConsumerGroups([]string{group})
	check(t, err)
	same(t, described[0].State, "Stable")
	same(t, described[0].Protocol, "range")
	for _, one := range described[0].Members {
		same(t, one.ClientId, "conformance")
		assigned, err := one.GetMemberAssignment()
		check(t, err)
		equal(t, assigned.Topics[topic], []int32{0})
	}
}

func TestAGroupIsDeletedWhenItIsEmpty(t *testing.T) {
	topic, group := hundred(t), broker.Name()
	member := join(t, shared, group, topic)
	read(t, member.messages, 1)
	refused(t, admin(t).DeleteConsumerGroup(group), sarama.ErrNonEmptyGroup)
	member.leave()
	check(t, admin(t).DeleteConsumerGroup(group))
	refused(t, admin(t).DeleteConsumerGroup(group), sarama.ErrGroupIDNotFound)
}

func TestOffsetsOfAGroupAreDeletedByPartition(t *testing.T) {
	topic, group := hundred(t), broker.Name()
	member := join(t, shared, group, topic)
	member.commit(read(t, member.messages, 1)[0])
	member.leave()
	check(t, admin(t).DeleteConsumerGroupOffset(group, topic, 0))
	same(t, committed(t, admin(t), group, topic), -1)
}

func TestAMemberIsRemovedByItsName(t *testing.T) {
	topic, group := hundred(t), broker.Name()
	member := join(t, shared, group, topic, func(config *sarama.Config) { config.Consumer.Group.InstanceId = "gone" })
	read(t, member.messages, 1)
	member.leave()
	response, err := admin(t).RemoveMemberFromConsumerGroup(group, []string{"gone"})
	check(t, err)
	same(t, response.Err, sarama.ErrNoError)
	described, err := admin(t).DescribeConsumerGroups([]string{group})
	check(t, err)
	same(t, described[0].State, "Empty")
}

func TestRecordsBelowAnOffsetAreDeleted(t *testing.T) {
	topic := hundred(t)
	check(t, admin(t).DeleteRecords(topic, map[int32]int64{0: 60}))
	came := read(t, reader(t, topic, 0, sarama.OffsetOldest).Messages(), 40)
	equal(t, values(came), broker.Numbers(60, 100))
}

func TestTheSizeOfLogsIsTold(t *testing.T) {
	topic, one := hundred(t), admin(t)
	brokers, _, err := one.DescribeCluster()
	check(t, err)
	described, err := one.DescribeLogDirs([]int32{brokers[0].ID()})
	check(t, err)
	found := false
	for _, directory := range described[brokers[0].ID()] {
		for _, one := range directory.Topics {
			found = found || one.Topic == topic && one.Partitions[0].Size > 0
		}
	}
	same(t, found, true)
}

func TestNoPartitionIsBeingReassigned(t *testing.T) {
	topic := create(t, 1)
	listed, err := admin(t).ListPartitionReassignments(topic, []int32{0})
	check(t, err)
	same(t, len(listed[topic]), 0)
}

func TestTheLeaderOfAPartitionNeedsNoElection(t *testing.T) {
	topic := create(t, 1)
	elected, err := admin(t).ElectLeaders(sarama.PreferredElection, map[string][]int32{topic: {0}})
	check(t, err)
	same(t, elected[topic][0].ErrorCode, sarama.ErrElectionNotNeeded)
}

func TestQuotasOfClientsAreSetAndDescribed(t *testing.T) {
	one, user := admin(t), broker.Name()
	entity := []sarama.QuotaEntityComponent{{EntityType: sarama.QuotaEntityClientID, MatchType: sarama.QuotaMatchExact, Name: user}}
	operation := sarama.ClientQuotasOp{Key: "producer_byte_rate", Value: 1_000_000}
	check(t, one.AlterClientQuotas(entity, operation, false))
	filter := []sarama.QuotaFilterComponent{{EntityType: sarama.QuotaEntityClientID, MatchType: sarama.QuotaMatchExact, Match: user}}
	quotas := func() []sarama.DescribeClientQuotasEntry {
		described, err := one.DescribeClientQuotas(filter, false)
		check(t, err)
		return described
	}
	// Apache Kafka shows a change a moment after its answer.
	broker.Until(t, "the quota", func() bool { return len(quotas()) == 1 })
	same(t, quotas()[0].Values["producer_byte_rate"], 1_000_000)
	operation = sarama.ClientQuotasOp{Key: "producer_byte_rate", Remove: true}
	check(t, one.AlterClientQuotas(entity, operation, true))
	same(t, len(quotas()), 1)
	check(t, one.AlterClientQuotas(entity, operation, false))
	broker.Until(t, "the removal", func() bool { return len(quotas()) == 0 })
}
