package sarama

import (
	"fmt"
	"testing"

	"github.com/IBM/sarama"
	"tramline/conformance/broker"
)

var ways = []string{"stop", "kill"}

func TestAProducerGoesOnWithoutGapOrDouble(t *testing.T) {
	for _, how := range ways {
		t.Run(how, func(t *testing.T) {
			own := broker.Own(t)
			topic := createOn(t, own, 1, nil)
			one := producerOf(t, own, idempotent)
			for from := 0; from < 300; from += 100 {
				send(t, one, messages(topic, broker.Numbers(from, from+100))...)
				own.Restart(t, how)
			}
			came := readerOf(t, own, topic, 0, sarama.OffsetOldest).Messages()
			equal(t, values(read(t, came, 300)), broker.Numbers(0, 300))
			readNothing(t, came)
		})
	}
}

func TestAMemberGoesOnAndItsSuccessorResumes(t *testing.T) {
	for _, how := range ways {
		t.Run(how, func(t *testing.T) {
			own := broker.Own(t)
			topic, group := createOn(t, own, 1, nil), broker.Name()
			one := producerOf(t, own)
			send(t, one, messages(topic, broker.Numbers(0, 10))...)
			first := join(t, own, group, topic)
			first.commit(read(t, first.messages, 10)[9])
			own.Restart(t, how)
			send(t, one, messages(topic, broker.Numbers(10, 20))...)
			// A client that joins again by itself may read again from its commit.
			var last *sarama.ConsumerMessage
			for next := int64(10); next < 20; {
				if last = read(t, first.messages, 1)[0]; last.Offset == next {
					same(t, string(last.Value), fmt.Sprint(next))
					next++
				}
			}
			broker.Until(t, "the commit", func() bool {
				if len(first.partitions()) == 0 {
					return false // It is joining again.
				}
				first.commit(last)
				return committed(t, adminOf(t, own), group, topic) == 20
			})
			first.leave()
			own.Restart(t, how)
			send(t, one, messages(topic, broker.Numbers(20, 25))...)
			second := join(t, own, group, topic)
			equal(t, values(read(t, second.messages, 5)), broker.Numbers(20, 25))
		})
	}
}
