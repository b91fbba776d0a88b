package franz

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"tramline/conformance/broker"
)

var ways = []string{"stop", "kill"}

func TestAnIdempotentProducerGoesOnWithoutGapOrDouble(t *testing.T) {
	for _, how := range ways {
		t.Run(how, func(t *testing.T) {
			own := broker.Own(t)
			topic := createOn(t, own, 1, nil)
			producer := clientOf(t, own)
			for from := 0; from < 300; from += 100 {
				send(t, producer, records(topic, broker.Numbers(from, from+100))...)
				own.Restart(t, how)
			}
			one := clientOf(t, own, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(start()))
			equal(t, values(read(t, one, 300)), broker.Numbers(0, 300))
			readNothing(t, one)
		})
	}
}

func TestAMemberGoesOnAndItsSuccessorResumes(t *testing.T) {
	for _, how := range ways {
		t.Run(how, func(t *testing.T) {
			own := broker.Own(t)
			topic, group := createOn(t, own, 1, nil), broker.Name()
			producer := clientOf(t, own)
			send(t, producer, records(topic, broker.Numbers(0, 10))...)
			first := member(t, own, group, topic)
			check(t, first.CommitRecords(within(t), read(t, first, 10)...))
			own.Restart(t, how)
			send(t, producer, records(topic, broker.Numbers(10, 20))...)
			came := readOver(t, first, 10)
			equal(t, values(came), broker.Numbers(10, 20))
			broker.Until(t, "the commit", func() bool { return commit(t, first, group, came) })
			first.Close()
			own.Restart(t, how)
			send(t, producer, records(topic, broker.Numbers(20, 25))...)
			equal(t, values(readOver(t, member(t, own, group, topic), 5)), broker.Numbers(20, 25))
		})
	}
}

// readOver reads while the broker comes back: the client reports errors that it gets over.
func readOver(t *testing.T, client *kgo.Client, count int) []*kgo.Record {
	t.Helper()
	cx := within(t)
	var records []*kgo.Record
	for len(records) < count && cx.Err() == nil {
		for _, record := range client.PollRecords(cx, count-len(records)).Records() {
			if len(records) == 0 || record.Offset > records[len(records)-1].Offset {
				records = append(records, record)
			}
		}
	}
	return records
}

func commit(t *testing.T, member *kgo.Client, group string, records []*kgo.Record) bool {
	t.Helper()
	if err := member.CommitRecords(within(t), records...); err != nil {
		t.Log(err)
		return false
	}
	last := records[len(records)-1]
	found, err := kadm.NewClient(member).FetchOffsets(within(t), group)
	return err == nil && found[last.Topic][0].At == last.Offset+1
}

func TestTopicIdsAndClusterStayTheSame(t *testing.T) {
	for _, how := range ways {
		t.Run(how, func(t *testing.T) {
			own := broker.Own(t)
			topic := createOn(t, own, 2, nil)
			one := kadm.NewClient(clientOf(t, own))
			before, err := one.Metadata(within(t), topic)
			check(t, err)
			own.Restart(t, how)
			after, err := one.Metadata(within(t), topic)
			check(t, err)
			same(t, after.Cluster, before.Cluster)
			same(t, after.Topics[topic].ID, before.Topics[topic].ID)
			same(t, len(after.Topics[topic].Partitions), 2)
		})
	}
}
