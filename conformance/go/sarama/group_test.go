package sarama

import (
	"slices"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"tramline/conformance/broker"
)

func TestACommitIsReadBackAndResumedFrom(t *testing.T) {
	topic, group := hundred(t), broker.Name()
	first := join(t, shared, group, topic)
	came := read(t, first.messages, 40)
	first.commit(came[39])
	found, err := admin(t).ListConsumerGroupOffsets(group, map[string][]int32{topic: {0}})
	check(t, err)
	same(t, found.Blocks[topic][0].Offset, 40)
	same(t, found.Blocks[topic][0].Metadata, "note")
	first.leave()
	second := join(t, shared, group, topic)
	equal(t, values(read(t, second.messages, 60)), broker.Numbers(40, 100))
}

func TestOffsetsAreCommittedAutomatically(t *testing.T) {
	topic, group := hundred(t), broker.Name()
	one := join(t, shared, group, topic, func(config *sarama.Config) {
		config.Consumer.Offsets.AutoCommit.Enable = true
		config.Consumer.Offsets.AutoCommit.Interval = 100 * time.Millisecond
	})
	one.lockedMark(read(t, one.messages, 100)[99])
	broker.Until(t, "the commit", func() bool { return committed(t, admin(t), group, topic) == 100 })
}

func (m *member) lockedMark(message *sarama.ConsumerMessage) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.session.MarkMessage(message, "")
}

func TestTwoMembersShareThePartitionsAndTheOneLeftTakesAll(t *testing.T) {
	for _, strategy := range []sarama.BalanceStrategy{
		sarama.NewBalanceStrategyRange(), sarama.NewBalanceStrategyRoundRobin(), sarama.NewBalanceStrategySticky(),
	} {
		t.Run(strategy.Name(), func(t *testing.T) {
			topic, group := create(t, 4), broker.Name()
			with := func(config *sarama.Config) {
				config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategy}
			}
			first := join(t, shared, group, topic, with)
			broker.Until(t, "the first assignment", func() bool { return len(first.partitions()) == 4 })
			second := join(t, shared, group, topic, with)
			broker.Until(t, "the rebalance", func() bool { return len(first.partitions()) == 2 && len(second.partitions()) == 2 })
			all := append(first.partitions(), second.partitions()...)
			equal(t, slices.Sorted(slices.Values(all)), []int32{0, 1, 2, 3})
			sent := messages(topic, broker.Numbers(0, 40))
			for n, message := range sent {
				message.Partition = int32(n % 4)
			}
			send(t, producer(t, manual), sent...)
			for _, one := range []*member{first, second} {
				for _, message := range read(t, one.messages, 20) {
					same(t, slices.Contains(one.partitions(), message.Partition), true)
				}
			}
			second.leave()
			broker.Until(t, "the last assignment", func() bool { return len(first.partitions()) == 4 })
		})
	}
}

func TestAStaticMemberComesBackWithoutARebalance(t *testing.T) {
	topic, group := create(t, 4), broker.Name()
	static := func(name string) func(*sarama.Config) {
		return func(config *sarama.Config) { config.Consumer.Group.InstanceId = name }
	}
	first := join(t, shared, group, topic, static("one"))
	second := join(t, shared, group, topic, static("two"))
	broker.Until(t, "the assignment", func() bool { return len(first.partitions()) == 2 && len(second.partitions()) == 2 })
	had, sessions := second.partitions(), first.sessions
	second.leave() // A static member does not leave.
	again := join(t, shared, group, topic, static("two"))
	broker.Until(t, "the return", func() bool { return len(again.partitions()) == 2 })
	equal(t, again.partitions(), had)
	same(t, first.sessions, sessions)
	described, err := admin(t).DescribeConsumerGroups([]string{group})
	check(t, err)
	var names []string
	for _, member := range described[0].Members {
		names = append(names, *member.GroupInstanceId)
	}
	equal(t, slices.Sorted(slices.Values(names)), []string{"one", "two"})
}

func TestCommitsWithoutMembershipAreKept(t *testing.T) {
	topic, group := create(t, 1), broker.Name()
	places, err := sarama.NewOffsetManagerFromClient(group, clientOf(t, shared))
	check(t, err)
	place, err := places.ManagePartition(topic, 0)
	check(t, err)
	place.MarkOffset(7, "note")
	places.Commit()
	next, note := place.NextOffset()
	same(t, next, 7)
	same(t, note, "note")
	check(t, places.Close())
	same(t, committed(t, admin(t), group, topic), 7)
}
