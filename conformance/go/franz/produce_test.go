package franz

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"tramline/conformance/broker"
)

func start() kgo.Offset { return kgo.NewOffset().AtStart() }

func TestEveryCodecComesBackAsSent(t *testing.T) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for name, codec := range codecs {
		t.Run(name, func(t *testing.T) {
			topic := create(t, 1)
			var sent []string
			for _, n := range broker.Numbers(0, 500) {
				sent = append(sent, n+strings.Repeat(" tramline", 40))
			}
			producer := client(t, kgo.ProducerBatchCompression(codec), kgo.ProducerLinger(20*time.Millisecond))
			send(t, producer, records(topic, sent)...)
			equal(t, values(read(t, reader(t, topic, 0, start()), 500)), sent)
		})
	}
}

func TestAcknowledgedRecordsCarryTheOffsetTheyAreReadAt(t *testing.T) {
	for name, acks := range map[string]kgo.Acks{"leader": kgo.LeaderAck(), "all": kgo.AllISRAcks()} {
		t.Run(name, func(t *testing.T) {
			topic := create(t, 1)
			producer := client(t, kgo.RequiredAcks(acks), kgo.DisableIdempotentWrite())
			sent := records(topic, broker.Numbers(0, 50))
			send(t, producer, sent...)
			for n, record := range read(t, reader(t, topic, 0, start()), 50) {
				same(t, record.Offset, int64(n))
				same(t, sent[n].Offset, int64(n))
				same(t, string(record.Value), fmt.Sprint(n))
			}
		})
	}
}

func TestRecordsWithoutAcknowledgementArrive(t *testing.T) {
	topic := create(t, 1)
	producer := client(t, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	send(t, producer, records(topic, broker.Numbers(0, 50))...)
	equal(t, values(read(t, reader(t, topic, 0, start()), 50)), broker.Numbers(0, 50))
}

func TestIdempotentProducerKeepsOrderAndCountOverPartitions(t *testing.T) {
	topic := create(t, 3)
	producer := client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	var sent []*kgo.Record
	for n := range 3000 {
		sent = append(sent, &kgo.Record{Topic: topic, Partition: int32(n % 3), Value: number(n)})
	}
	send(t, producer, sent...)
	for partition := range int32(3) {
		one := reader(t, topic, partition, start())
		for n, record := range read(t, one, 1000) {
			same(t, string(record.Value), fmt.Sprint(n*3+int(partition)))
		}
		readNothing(t, one)
	}
}

func TestOneKeyGoesToOnePartition(t *testing.T) {
	topic := create(t, 8)
	var sent []*kgo.Record
	for n := range 400 {
		sent = append(sent, &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "key %d", n%40)})
	}
	send(t, client(t), sent...)
	partitions := make(map[string]int32)
	used := make(map[int32]bool)
	for _, record := range sent {
		if partition, ok := partitions[string(record.Key)]; ok {
			same(t, record.Partition, partition)
		}
		partitions[string(record.Key)] = record.Partition
		used[record.Partition] = true
	}
	if len(used) < 2 {
		t.Fatal("all keys went to one partition")
	}
}

func TestAbsentAndEmptyKeysAndValuesStayApart(t *testing.T) {
	topic := create(t, 1)
	pairs := [][2][]byte{{nil, nil}, {{}, {}}, {[]byte("k"), nil}, {nil, []byte("v")}, {{0, 255}, {254, 0}}}
	for _, pair := range pairs {
		send(t, client(t), &kgo.Record{Topic: topic, Key: pair[0], Value: pair[1]})
	}
	for n, record := range read(t, reader(t, topic, 0, start()), len(pairs)) {
		for side, got := range [][]byte{record.Key, record.Value} {
			want := pairs[n][side]
			if !bytes.Equal(got, want) || (got == nil) != (want == nil) {
				t.Fatalf("record %d: got %v, want %v", n, got, want)
			}
		}
	}
}

func TestHeadersKeepOrderDuplicatesEmptyAndAbsentValues(t *testing.T) {
	topic := create(t, 1)
	headers := []kgo.RecordHeader{
		{Key: "a", Value: []byte("1")}, {Key: "b"}, {Key: "a", Value: []byte("2")},
		{Key: "", Value: []byte{}}, {Key: "a", Value: []byte("1")},
	}
	send(t, client(t), &kgo.Record{Topic: topic, Headers: headers}, &kgo.Record{Topic: topic})
	came := read(t, reader(t, topic, 0, start()), 2)
	same(t, len(came[0].Headers), len(headers))
	for n, header := range came[0].Headers {
		same(t, header.Key, headers[n].Key)
		same(t, string(header.Value), string(headers[n].Value))
		same(t, header.Value == nil, headers[n].Value == nil)
	}
	same(t, len(came[1].Headers), 0)
}

func TestTheProducersTimestampIsKept(t *testing.T) {
	topic := createOn(t, shared, 1, map[string]string{"retention.ms": "-1"}) // They are old.
	stamps := []int64{1_700_000_000_000, 1, 1_700_000_000_500}
	for _, stamp := range stamps {
		send(t, client(t), &kgo.Record{Topic: topic, Timestamp: time.UnixMilli(stamp)})
	}
	for n, record := range read(t, reader(t, topic, 0, start()), 3) {
		same(t, record.Timestamp.UnixMilli(), stamps[n])
		same(t, record.Attrs.TimestampType(), 0)
	}
}

func TestLogAppendTimeReplacesTheProducers(t *testing.T) {
	topic := createOn(t, shared, 1, map[string]string{"message.timestamp.type": "LogAppendTime"})
	before := time.Now().UnixMilli()
	send(t, client(t), &kgo.Record{Topic: topic, Timestamp: time.UnixMilli(1)})
	record := read(t, reader(t, topic, 0, start()), 1)[0]
	same(t, record.Attrs.TimestampType(), 1)
	if stamp := record.Timestamp.UnixMilli(); stamp < before-5 || stamp > time.Now().UnixMilli()+5 {
		t.Fatalf("%d is not the time of the append", stamp)
	}
}

func TestManyPartitionsAreWrittenInOneRun(t *testing.T) {
	topic := create(t, 50)
	producer := client(t, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	sent := records(topic, broker.Numbers(0, 500))
	send(t, producer, sent...)
	for n, record := range sent {
		same(t, record.Offset, int64(n/50))
	}
}

func TestNamingAnUnknownTopicCreatesIt(t *testing.T) {
	topic := broker.Name()
	send(t, client(t, kgo.AllowAutoTopicCreation()), records(topic, []string{"v"})...)
	equal(t, values(read(t, reader(t, topic, 0, start()), 1)), []string{"v"})
}
