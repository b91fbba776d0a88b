package franz

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"tramline/conformance/broker"
)

var base = time.Now().Add(-time.Hour).Unix() * 1000

// hundred makes a topic of one partition: value n at offset n, at base + 1000 n, in batches of 10.
func hundred(t *testing.T) string {
	t.Helper()
	topic := create(t, 1)
	producer := client(t)
	for from := 0; from < 100; from += 10 {
		var batch []*kgo.Record
		for n := from; n < from+10; n++ {
			stamp := time.UnixMilli(base + 1000*int64(n))
			batch = append(batch, &kgo.Record{Topic: topic, Value: number(n), Timestamp: stamp})
		}
		send(t, producer, batch...)
	}
	return topic
}

func TestFromTheBeginning(t *testing.T) {
	came := read(t, reader(t, hundred(t), 0, start()), 100)
	equal(t, values(came), broker.Numbers(0, 100))
}

func TestFromTheEndOnlyLaterRecordsCome(t *testing.T) {
	topic := hundred(t)
	one := reader(t, topic, 0, kgo.NewOffset().AtEnd())
	readNothing(t, one)
	send(t, client(t), records(topic, []string{"later"})...)
	record := read(t, one, 1)[0]
	same(t, record.Offset, 100)
	same(t, string(record.Value), "later")
}

func TestFromAnOffsetAlsoInsideABatch(t *testing.T) {
	topic := hundred(t)
	for _, offset := range []int{0, 1, 37, 99} {
		t.Run(fmt.Sprint(offset), func(t *testing.T) {
			came := read(t, reader(t, topic, 0, kgo.NewOffset().At(int64(offset))), 100-offset)
			equal(t, values(came), broker.Numbers(offset, 100))
		})
	}
}

func TestFromATime(t *testing.T) {
	topic := hundred(t)
	for stamp, offset := range map[int64]int64{0: 0, base: 0, base + 1: 1, base + 37_000: 37, base + 37_001: 38} {
		t.Run(fmt.Sprint(stamp), func(t *testing.T) {
			came := read(t, reader(t, topic, 0, kgo.NewOffset().AfterMilli(stamp)), 1)
			same(t, came[0].Offset, offset)
		})
	}
}

func TestRelativeToBothEnds(t *testing.T) {
	topic := hundred(t)
	same(t, read(t, reader(t, topic, 0, kgo.NewOffset().AtStart().Relative(5)), 1)[0].Offset, 5)
	same(t, read(t, reader(t, topic, 0, kgo.NewOffset().AtEnd().Relative(-3)), 1)[0].Offset, 97)
}

func TestOffsetsAreListedByTime(t *testing.T) {
	topic := hundred(t)
	one := admin(t)
	starts, err := one.ListStartOffsets(within(t), topic)
	check(t, err)
	ends, err := one.ListEndOffsets(within(t), topic)
	check(t, err)
	after, err := one.ListOffsetsAfterMilli(within(t), base+37_001, topic)
	check(t, err)
	newest, err := one.ListMaxTimestampOffsets(within(t), topic)
	check(t, err)
	stable, err := one.ListCommittedOffsets(within(t), topic)
	check(t, err)
	for n, listed := range []map[int32]int64{
		{0: starts[topic][0].Offset}, {0: ends[topic][0].Offset}, {0: after[topic][0].Offset},
		{0: newest[topic][0].Offset}, {0: stable[topic][0].Offset},
	} {
		same(t, listed[0], []int64{0, 100, 38, 99, 100}[n])
	}
}

func TestSmallFetchesLoseNothing(t *testing.T) {
	one := reader(t, hundred(t), 0, start(), kgo.FetchMaxBytes(1024), kgo.FetchMaxPartitionBytes(512))
	equal(t, values(read(t, one, 100)), broker.Numbers(0, 100))
}

func TestARecordLargerThanTheFetchLimitStillComes(t *testing.T) {
	topic := create(t, 1)
	large := &kgo.Record{Topic: topic, Value: make([]byte, 300_000)}
	send(t, client(t, kgo.ProducerBatchCompression(kgo.NoCompression())), large)
	one := reader(t, topic, 0, start(), kgo.FetchMaxBytes(1000), kgo.FetchMaxPartitionBytes(1000))
	same(t, len(read(t, one, 1)[0].Value), 300_000)
}

func TestAWaitingFetchIsAnsweredWhenARecordComes(t *testing.T) {
	topic := create(t, 1)
	one := reader(t, topic, 0, start(), kgo.FetchMaxWait(10*time.Second))
	readNothing(t, one)
	sent := time.Now()
	send(t, client(t), records(topic, []string{"v"})...)
	read(t, one, 1)
	if took := time.Since(sent); took > 3*time.Second {
		t.Fatalf("it took %s", took)
	}
}

func TestPauseAndResume(t *testing.T) {
	topic := hundred(t)
	one := reader(t, topic, 0, start())
	read(t, one, 10)
	one.PauseFetchPartitions(map[string][]int32{topic: {0}})
	readNothing(t, one)
	one.ResumeFetchPartitions(map[string][]int32{topic: {0}})
	same(t, read(t, one, 1)[0].Offset, 10)
}

func TestManyPartitionsAreReadTogether(t *testing.T) {
	topic := create(t, 20)
	send(t, client(t, kgo.RecordPartitioner(kgo.RoundRobinPartitioner())), records(topic, broker.Numbers(0, 400))...)
	one := client(t, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(start()))
	next := make(map[int32]int64)
	for _, record := range read(t, one, 400) {
		same(t, record.Offset, next[record.Partition])
		next[record.Partition]++
	}
	same(t, len(next), 20)
}

func TestTopicsAreSubscribedToByPattern(t *testing.T) {
	prefix := broker.Name()
	_, err := admin(t).CreateTopics(within(t), 1, 1, nil, prefix+".a", prefix+".b", prefix+"-other")
	check(t, err)
	send(t, client(t), records(prefix+".a", []string{"v"})...)
	send(t, client(t), records(prefix+".b", []string{"v"})...)
	send(t, client(t), records(prefix+"-other", []string{"w"})...)
	one := member(t, shared, prefix, "^"+prefix+`\..*`, kgo.ConsumeRegex())
	equal(t, values(read(t, one, 2)), []string{"v", "v"})
	readNothing(t, one)
}
