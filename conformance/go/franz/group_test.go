package franz

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"tramline/conformance/broker"
)

// assigned follows which partitions of one topic a member has.
type assigned struct {
	lock       sync.Mutex
	partitions []int32
	changes    int
}

func (a *assigned) options() []kgo.Opt {
	return []kgo.Opt{
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, more map[string][]int32) {
			a.lock.Lock()
			defer a.lock.Unlock()
			a.changes++
			for _, partitions := range more {
				a.partitions = append(a.partitions, partitions...)
			}
		}),
		kgo.OnPartitionsRevoked(a.less),
		kgo.OnPartitionsLost(a.less),
	}
}

func (a *assigned) less(_ context.Context, _ *kgo.Client, less map[string][]int32) {
	a.lock.Lock()
	defer a.lock.Unlock()
	a.changes++
	for _, partitions := range less {
		a.partitions = slices.DeleteFunc(a.partitions, func(one int32) bool {
			return slices.Contains(partitions, one)
		})
	}
}

func (a *assigned) now() []int32 {
	a.lock.Lock()
	defer a.lock.Unlock()
	return slices.Sorted(slices.Values(a.partitions))
}

func TestACommitIsReadBackAndResumedFrom(t *testing.T) {
	topic, group := hundred(t), broker.Name()
	first := member(t, shared, group, topic)
	came := read(t, first, 40)
	check(t, first.CommitRecords(within(t), came...))
	found, err := admin(t).FetchOffsets(within(t), group)
	check(t, err)
	same(t, found[topic][0].At, 40)
	first.Close()
	second := member(t, shared, group, topic)
	equal(t, values(read(t, second, 60)), broker.Numbers(40, 100))
}

func TestOffsetsAreCommittedAutomatically(t *testing.T) {
	topic, group := hundred(t), broker.Name()
	one := client(t, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(start()),
		kgo.AutoCommitInterval(100*time.Millisecond), kgo.GreedyAutoCommit())
	read(t, one, 100)
	broker.Until(t, "the commit", func() bool {
		found, err := admin(t).FetchOffsets(within(t), group)
		check(t, err)
		return found[topic][0].At == 100
	})
}

func TestTwoMembersShareThePartitionsAndTheOneLeftTakesAll(t *testing.T) {
	balancers := map[string]kgo.GroupBalancer{
		"range": kgo.RangeBalancer(), "roundrobin": kgo.RoundRobinBalancer(),
		"sticky": kgo.StickyBalancer(), "cooperative-sticky": kgo.CooperativeStickyBalancer(),
	}
	for name, balancer := range balancers {
		t.Run(name, func(t *testing.T) {
			topic, group := create(t, 4), broker.Name()
			one, two := &assigned{}, &assigned{}
			first := member(t, shared, group, topic, append(one.options(), kgo.Balancers(balancer))...)
			broker.Until(t, "the first assignment", func() bool { return len(one.now()) == 4 })
			second := member(t, shared, group, topic, append(two.options(), kgo.Balancers(balancer))...)
			broker.Until(t, "the rebalance", func() bool { return len(one.now()) == 2 && len(two.now()) == 2 })
			equal(t, slices.Sorted(slices.Values(append(one.now(), two.now()...))), []int32{0, 1, 2, 3})
			send(t, client(t, kgo.RecordPartitioner(kgo.RoundRobinPartitioner())), records(topic, broker.Numbers(0, 40))...)
			for _, pair := range []struct {
				client *kgo.Client
				has    []int32
			}{{first, one.now()}, {second, two.now()}} {
				for _, record := range read(t, pair.client, 20) {
					if !slices.Contains(pair.has, record.Partition) {
						t.Fatalf("partition %d is another member's", record.Partition)
					}
				}
			}
			second.Close()
			broker.Until(t, "the last assignment", func() bool { return len(one.now()) == 4 })
		})
	}
}

func TestAStaticMemberComesBackWithoutARebalance(t *testing.T) {
	topic, group := create(t, 4), broker.Name()
	one := &assigned{}
	member(t, shared, group, topic, append(one.options(), kgo.InstanceID("one"))...)
	join := func() (*kgo.Client, *assigned) {
		two := &assigned{}
		client := member(t, shared, group, topic, append(two.options(), kgo.InstanceID("two"))...)
		broker.Until(t, "the assignment", func() bool { return len(two.now()) == 2 && len(one.now()) == 2 })
		return client, two
	}
	second, two := join()
	before, has := one.changes, two.now()
	second.Close() // A static member does not leave.
	_, two = join()
	equal(t, two.now(), has)
	same(t, one.changes, before)
}

func TestAStaticMemberIsRemovedByItsName(t *testing.T) {
	topic, group := create(t, 2), broker.Name()
	has := &assigned{}
	one := member(t, shared, group, topic, append(has.options(), kgo.InstanceID("gone"))...)
	broker.Until(t, "the assignment", func() bool { return len(has.now()) == 2 })
	one.Close()
	left, err := admin(t).LeaveGroup(within(t), kadm.LeaveGroup(group).InstanceIDs("gone"))
	check(t, err)
	check(t, left.Error())
	described, err := admin(t).DescribeGroups(within(t), group)
	check(t, err)
	same(t, described[group].State, "Empty")
}

func TestASecondMemberOfTheSameNameFencesTheFirst(t *testing.T) {
	topic, group := create(t, 1), broker.Name()
	one, two := &assigned{}, &assigned{}
	first := member(t, shared, group, topic, append(one.options(), kgo.InstanceID("same"))...)
	broker.Until(t, "the assignment", func() bool { return len(one.now()) == 1 })
	member(t, shared, group, topic, append(two.options(), kgo.InstanceID("same"))...)
	broker.Until(t, "the second's assignment", func() bool { return len(two.now()) == 1 })
	broker.Until(t, "the first's loss", func() bool {
		cx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		first.PollFetches(cx)
		return len(one.now()) == 0
	})
}

func TestCommitsWithoutMembershipAreKept(t *testing.T) {
	topic, group := create(t, 2), broker.Name()
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: 7, LeaderEpoch: -1, Metadata: "note"})
	offsets.Add(kadm.Offset{Topic: topic, Partition: 1, At: 9, LeaderEpoch: -1})
	check(t, admin(t).CommitAllOffsets(within(t), group, offsets))
	found, err := admin(t).FetchOffsets(within(t), group)
	check(t, err)
	same(t, found[topic][0].At, 7)
	same(t, found[topic][0].Metadata, "note")
	same(t, found[topic][1].At, 9)
}
