package franz

import (
	"errors"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"tramline/conformance/broker"
)

func refused(t *testing.T, err error, want *kerr.Error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

// groupOf is a group with one member that has read and committed a topic of two partitions.
func groupOf(t *testing.T) (group, topic string, one *kgo.Client) {
	t.Helper()
	topic, group = create(t, 2), broker.Name()
	producer := client(t, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	send(t, producer, records(topic, []string{"a", "b"})...)
	one = member(t, shared, group, topic)
	check(t, one.CommitRecords(within(t), read(t, one, 2)...))
	return group, topic, one
}

func TestATopicIsCreatedListedAndDeleted(t *testing.T) {
	one, topic := admin(t), broker.Name()
	created, err := one.CreateTopic(within(t), 3, 1, nil, topic)
	check(t, err)
	same(t, created.NumPartitions, 3)
	_, err = one.CreateTopic(within(t), 3, 1, nil, topic)
	refused(t, err, kerr.TopicAlreadyExists)
	listed, err := one.ListTopics(within(t), topic)
	check(t, err)
	same(t, len(listed[topic].Partitions), 3)
	same(t, listed[topic].ID, created.ID)
	equal(t, listed[topic].Partitions[0].Replicas, listed[topic].Partitions[0].ISR)
	_, err = one.DeleteTopic(within(t), topic)
	check(t, err)
	_, err = one.DeleteTopic(within(t), topic)
	refused(t, err, kerr.UnknownTopicOrPartition)
}

func TestValidationAloneCreatesNothing(t *testing.T) {
	one, topic := admin(t), broker.Name()
	_, err := one.ValidateCreateTopics(within(t), 1, 1, nil, topic)
	check(t, err)
	listed, err := one.ListTopics(within(t))
	check(t, err)
	same(t, listed.Has(topic), false)
}

func TestMoreReplicasThanThereAreCopiesAreRefused(t *testing.T) {
	_, err := admin(t).CreateTopic(within(t), 1, 3, nil, broker.Name())
	refused(t, err, kerr.InvalidReplicationFactor)
}

func TestPartitionsAreAddedButNotRemoved(t *testing.T) {
	one, topic := admin(t), create(t, 2)
	added, err := one.CreatePartitions(within(t), 3, topic)
	check(t, err)
	check(t, added.Error())
	set, err := one.UpdatePartitions(within(t), 4, topic)
	check(t, err)
	refused(t, set.Error(), kerr.InvalidPartitions)
	listed, err := one.ListTopics(within(t), topic)
	check(t, err)
	same(t, len(listed[topic].Partitions), 5)
}

func TestSettingsOfATopicAreAlteredOneByOne(t *testing.T) {
	topic := createOn(t, shared, 1, map[string]string{"retention.ms": "86400000"})
	one, bytes := admin(t), "1000000"
	alter := func(change kadm.AlterConfig) error {
		altered, err := one.AlterTopicConfigs(within(t), []kadm.AlterConfig{change}, topic)
		check(t, err)
		return altered[0].Err
	}
	check(t, alter(kadm.AlterConfig{Op: kadm.SetConfig, Name: "retention.bytes", Value: &bytes}))
	equal(t, settings(t, topic, "retention.ms", "retention.bytes"), []string{"86400000", "1000000"})
	check(t, alter(kadm.AlterConfig{Op: kadm.DeleteConfig, Name: "retention.ms"}))
	equal(t, settings(t, topic, "retention.ms"), []string{"604800000"})
	wrong := "soon"
	refused(t, alter(kadm.AlterConfig{Op: kadm.SetConfig, Name: "retention.ms", Value: &wrong}), kerr.InvalidConfig)
}

func TestSettingsOfATopicAreReplacedAtOnce(t *testing.T) {
	topic := createOn(t, shared, 1, map[string]string{"retention.ms": "86400000"})
	bytes := "1000000"
	changes := []kadm.AlterConfig{{Name: "retention.bytes", Value: &bytes}}
	altered, err := admin(t).AlterTopicConfigsState(within(t), changes, topic)
	check(t, err)
	check(t, altered[0].Err)
	equal(t, settings(t, topic, "retention.ms", "retention.bytes"), []string{"604800000", "1000000"})
}

func settings(t *testing.T, topic string, names ...string) []string {
	t.Helper()
	described, err := admin(t).DescribeTopicConfigs(within(t), topic)
	check(t, err)
	var values []string
	for _, name := range names {
		at := slices.IndexFunc(described[0].Configs, func(one kadm.Config) bool { return one.Key == name })
		values = append(values, described[0].Configs[at].MaybeValue())
	}
	return values
}

func TestTheClusterIsDescribed(t *testing.T) {
	metadata, err := admin(t).BrokerMetadata(within(t))
	check(t, err)
	same(t, len(metadata.Cluster), 22)
	same(t, len(metadata.Brokers), 1)
	same(t, metadata.Controller, metadata.Brokers[0].NodeID)
	described, err := admin(t).DescribeBrokerConfigs(within(t), metadata.Controller)
	check(t, err)
	check(t, described[0].Err)
}

func TestGroupsAreListedDescribedAndTheirLagIsTold(t *testing.T) {
	group, topic, _ := groupOf(t)
	one := admin(t)
	listed, err := one.ListGroups(within(t), "Stable")
	check(t, err)
	same(t, listed[group].ProtocolType, "consumer")
	send(t, client(t), records(topic, broker.Numbers(0, 3))...)
	lags, err := one.Lag(within(t), group)
	check(t, err)
	same(t, lags[group].State, "Stable")
	same(t, lags[group].Lag.Total(), 3)
	same(t, len(lags[group].Members), 1)
	same(t, lags[group].Members[0].ClientID, "conformance")
}

func TestAGroupIsDeletedWhenItIsEmpty(t *testing.T) {
	group, _, member := groupOf(t)
	one := admin(t)
	_, err := one.DeleteGroup(within(t), group)
	refused(t, err, kerr.NonEmptyGroup)
	member.Close()
	_, err = one.DeleteGroup(within(t), group)
	check(t, err)
	_, err = one.DeleteGroup(within(t), group)
	refused(t, err, kerr.GroupIDNotFound)
}

func TestOffsetsOfAGroupAreDeletedByTopic(t *testing.T) {
	group, topic, member := groupOf(t)
	member.Close()
	var places kadm.TopicsSet
	places.Add(topic, 0)
	deleted, err := admin(t).DeleteOffsets(within(t), group, places)
	check(t, err)
	check(t, deleted.Error())
	found, err := admin(t).FetchOffsets(within(t), group)
	check(t, err)
	_, ok := found.Lookup(topic, 0)
	same(t, ok, false)
	_, ok = found.Lookup(topic, 1)
	same(t, ok, true)
}

func TestRecordsBelowAnOffsetAreDeleted(t *testing.T) {
	topic := hundred(t)
	var offsets kadm.Offsets
	offsets.AddOffset(topic, 0, 60, -1)
	deleted, err := admin(t).DeleteRecords(within(t), offsets)
	check(t, err)
	check(t, deleted.Error())
	same(t, deleted[topic][0].LowWatermark, 60)
	equal(t, values(read(t, reader(t, topic, 0, start()), 40)), broker.Numbers(60, 100))
}

func TestTheEndOfALeaderEpochIsTold(t *testing.T) {
	topic := hundred(t)
	var asked kadm.OffsetForLeaderEpochRequest
	record := read(t, reader(t, topic, 0, start()), 1)[0]
	asked.Add(topic, 0, record.LeaderEpoch)
	told, err := admin(t).OffsetForLeaderEpoch(within(t), asked)
	check(t, err)
	check(t, told[topic][0].Err)
	same(t, told[topic][0].EndOffset, 100)
}

func TestTheSizeOfLogsIsTold(t *testing.T) {
	topic := hundred(t)
	var places kadm.TopicsSet
	places.Add(topic, 0)
	described, err := admin(t).DescribeAllLogDirs(within(t), places)
	check(t, err)
	found := false
	described.Each(func(one kadm.DescribedLogDir) {
		one.Topics.Each(func(p kadm.DescribedLogDirPartition) { found = found || p.Topic == topic && p.Size > 0 })
	})
	same(t, found, true)
}

func TestProducersOfAPartitionAreDescribed(t *testing.T) {
	topic := hundred(t)
	var places kadm.TopicsSet
	places.Add(topic, 0)
	described, err := admin(t).DescribeProducers(within(t), places)
	check(t, err)
	producers := described[topic].Partitions[0].ActiveProducers
	same(t, len(producers), 1)
	for _, producer := range producers {
		same(t, producer.LastSequence, 99)
	}
}

func TestNoPartitionIsBeingReassigned(t *testing.T) {
	topic := create(t, 1)
	var places kadm.TopicsSet
	places.Add(topic, 0)
	listed, err := admin(t).ListPartitionReassignments(within(t), places)
	check(t, err)
	same(t, len(listed), 0)
}

func TestTheLeaderOfAPartitionNeedsNoElection(t *testing.T) {
	topic := create(t, 1)
	var places kadm.TopicsSet
	places.Add(topic, 0)
	elected, err := admin(t).ElectLeaders(within(t), kadm.ElectPreferredReplica, places)
	check(t, err)
	refused(t, elected[topic][0].Err, kerr.ElectionNotNeeded)
}
