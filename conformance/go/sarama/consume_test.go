package sarama

import (
	"fmt"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"tramline/conformance/broker"
)

var base = time.Now().Add(-time.Hour).Unix() * 1000

// hundred makes a topic of one partition: value n at offset n, at base + 1000 n, in batches of 10.
func hundred(t *testing.T) string {
	t.Helper()
	topic, one := create(t, 1), producer(t)
	for from := 0; from < 100; from += 10 {
		batch := messages(topic, broker.Numbers(from, from+10))
		for n, message := range batch {
			message.Timestamp = time.UnixMilli(base + 1000*int64(from+n))
		}
		send(t, one, batch...)
	}
	return topic
}

func TestFromTheBeginning(t *testing.T) {
	one := reader(t, hundred(t), 0, sarama.OffsetOldest)
	equal(t, values(read(t, one.Messages(), 100)), broker.Numbers(0, 100))
	same(t, one.HighWaterMarkOffset(), 100)
}

func TestFromTheEndOnlyLaterMessagesCome(t *testing.T) {
	topic := hundred(t)
	came := reader(t, topic, 0, sarama.OffsetNewest).Messages()
	readNothing(t, came)
	send(t, producer(t), messages(topic, []string{"later"})...)
	same(t, read(t, came, 1)[0].Offset, 100)
}

func TestFromAnOffsetAlsoInsideABatch(t *testing.T) {
	topic := hundred(t)
	for _, offset := range []int{0, 1, 37, 99} {
		t.Run(fmt.Sprint(offset), func(t *testing.T) {
			came := read(t, reader(t, topic, 0, int64(offset)).Messages(), 100-offset)
			equal(t, values(came), broker.Numbers(offset, 100))
		})
	}
}

func TestAnOffsetIsFoundByTime(t *testing.T) {
	topic, one := hundred(t), clientOf(t, shared)
	for stamp, offset := range map[int64]int64{
		0: 0, base: 0, base + 1: 1, base + 37_000: 37, base + 37_001: 38, base + 99_001: -1,
		sarama.OffsetOldest: 0, sarama.OffsetNewest: 100,
	} {
		found, err := one.GetOffset(topic, 0, stamp)
		check(t, err)
		if found != offset {
			t.Fatalf("at %d: got %d, want %d", stamp, found, offset)
		}
	}
}

func TestSmallFetchesLoseNothing(t *testing.T) {
	one := reader(t, hundred(t), 0, 0, func(config *sarama.Config) {
		config.Consumer.Fetch.Default, config.Consumer.Fetch.Max = 512, 1024
	})
	equal(t, values(read(t, one.Messages(), 100)), broker.Numbers(0, 100))
}

func TestAMessageLargerThanTheFetchLimitStillComes(t *testing.T) {
	topic := create(t, 1)
	send(t, producer(t), &sarama.ProducerMessage{Topic: topic, Value: sarama.ByteEncoder(make([]byte, 300_000))})
	one := reader(t, topic, 0, 0, func(config *sarama.Config) { config.Consumer.Fetch.Default = 1000 })
	same(t, len(read(t, one.Messages(), 1)[0].Value), 300_000)
}

func TestAWaitingFetchIsAnsweredWhenAMessageComes(t *testing.T) {
	topic := create(t, 1)
	came := reader(t, topic, 0, 0, func(config *sarama.Config) { config.Consumer.MaxWaitTime = 4 * time.Second }).Messages()
	readNothing(t, came)
	sent := time.Now()
	send(t, producer(t), messages(topic, []string{"v"})...)
	read(t, came, 1)
	if took := time.Since(sent); took > 2*time.Second {
		t.Fatalf("it took %s", took)
	}
}

func TestPauseAndResume(t *testing.T) {
	topic := hundred(t)
	one := reader(t, topic, 0, 0)
	read(t, one.Messages(), 100)
	one.Pause()
	time.Sleep(300 * time.Millisecond) // The fetch under way ends.
	send(t, producer(t), messages(topic, []string{"while paused"})...)
	readNothing(t, one.Messages())
	one.Resume()
	equal(t, values(read(t, one.Messages(), 1)), []string{"while paused"})
}
