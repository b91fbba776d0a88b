package sarama

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"tramline/conformance/broker"
)

func TestEveryCodecComesBackAsSent(t *testing.T) {
	for _, codec := range []sarama.CompressionCodec{
		sarama.CompressionNone, sarama.CompressionGZIP, sarama.CompressionSnappy, sarama.CompressionLZ4, sarama.CompressionZSTD,
	} {
		t.Run(codec.String(), func(t *testing.T) {
			topic := create(t, 1)
			var sent []string
			for _, n := range broker.Numbers(0, 500) {
				sent = append(sent, n+strings.Repeat(" tramline", 40))
			}
			one := producer(t, func(config *sarama.Config) { config.Producer.Compression = codec })
			send(t, one, messages(topic, sent)...)
			equal(t, values(read(t, reader(t, topic, 0, 0).Messages(), 500)), sent)
		})
	}
}

func TestEveryProtocolVersionOfTheClientWorks(t *testing.T) {
	// From the first one with record batches, which is the oldest format that Kafka 4 takes.
	for _, version := range sarama.SupportedVersions {
		if !version.IsAtLeast(sarama.V0_11_0_0) {
			continue
		}
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			topic := create(t, 1)
			old := func(config *sarama.Config) { config.Version = version }
			send(t, producer(t, old), messages(topic, broker.Numbers(0, 10))...)
			equal(t, values(read(t, reader(t, topic, 0, 0, old).Messages(), 10)), broker.Numbers(0, 10))
		})
	}
}

func TestAcknowledgedMessagesCarryTheOffsetTheyAreReadAt(t *testing.T) {
	for name, acks := range map[string]sarama.RequiredAcks{"leader": sarama.WaitForLocal, "all": sarama.WaitForAll} {
		t.Run(name, func(t *testing.T) {
			topic := create(t, 1)
			one := producer(t, func(config *sarama.Config) { config.Producer.RequiredAcks = acks })
			sent := messages(topic, broker.Numbers(0, 50))
			send(t, one, sent...)
			for n, message := range read(t, reader(t, topic, 0, 0).Messages(), 50) {
				same(t, message.Offset, int64(n))
				same(t, sent[n].Offset, int64(n))
				same(t, string(message.Value), fmt.Sprint(n))
			}
		})
	}
}

func TestMessagesWithoutAcknowledgementArrive(t *testing.T) {
	topic := create(t, 1)
	one := producer(t, func(config *sarama.Config) { config.Producer.RequiredAcks = sarama.NoResponse })
	send(t, one, messages(topic, broker.Numbers(0, 50))...)
	equal(t, values(read(t, reader(t, topic, 0, 0).Messages(), 50)), broker.Numbers(0, 50))
}

func TestIdempotentProducerKeepsOrderAndCountOverPartitions(t *testing.T) {
	topic := create(t, 3)
	sent := messages(topic, broker.Numbers(0, 3000))
	for n, message := range sent {
		message.Partition = int32(n % 3)
	}
	send(t, producer(t, idempotent, manual), sent...)
	for partition := range int32(3) {
		came := reader(t, topic, partition, 0).Messages()
		for n, message := range read(t, came, 1000) {
			same(t, string(message.Value), fmt.Sprint(n*3+int(partition)))
		}
		readNothing(t, came)
	}
}

func TestOneKeyGoesToOnePartition(t *testing.T) {
	topic := create(t, 8)
	sent := messages(topic, broker.Numbers(0, 400))
	for n, message := range sent {
		message.Key = sarama.StringEncoder(fmt.Sprintf("key %d", n%40))
	}
	send(t, producer(t), sent...)
	partitions, used := make(map[sarama.Encoder]int32), make(map[int32]bool)
	for _, message := range sent {
		if partition, ok := partitions[message.Key]; ok {
			same(t, message.Partition, partition)
		}
		partitions[message.Key] = message.Partition
		used[message.Partition] = true
	}
	if len(used) < 2 {
		t.Fatal("all keys went to one partition")
	}
}

func TestAbsentAndEmptyKeysAndValuesStayApart(t *testing.T) {
	topic := create(t, 1)
	pairs := [][2][]byte{{nil, nil}, {{}, {}}, {[]byte("k"), nil}, {nil, []byte("v")}, {{0, 255}, {254, 0}}}
	encode := func(bytes []byte) sarama.Encoder {
		if bytes == nil {
			return nil
		}
		return sarama.ByteEncoder(bytes)
	}
	for _, pair := range pairs {
		send(t, producer(t), &sarama.ProducerMessage{Topic: topic, Key: encode(pair[0]), Value: encode(pair[1])})
	}
	for n, message := range read(t, reader(t, topic, 0, 0).Messages(), len(pairs)) {
		for side, got := range [][]byte{message.Key, message.Value} {
			want := pairs[n][side]
			if !bytes.Equal(got, want) || (got == nil) != (want == nil) {
				t.Fatalf("message %d: got %v, want %v", n, got, want)
			}
		}
	}
}

func TestHeadersKeepOrderDuplicatesAndEmptyValues(t *testing.T) {
	topic := create(t, 1)
	headers := []sarama.RecordHeader{
		{Key: []byte("a"), Value: []byte("1")}, {Key: []byte("b"), Value: []byte{0, 255}},
		{Key: []byte("a"), Value: []byte("2")}, {Key: []byte(""), Value: []byte{}}, {Key: []byte("a"), Value: []byte("1")},
	}
	send(t, producer(t), &sarama.ProducerMessage{Topic: topic, Headers: headers})
	came := read(t, reader(t, topic, 0, 0).Messages(), 1)[0]
	same(t, len(came.Headers), len(headers))
	for n, header := range came.Headers {
		same(t, string(header.Key), string(headers[n].Key))
		same(t, string(header.Value), string(headers[n].Value))
	}
}

func TestTheProducersTimestampIsKept(t *testing.T) {
	topic := createOn(t, shared, 1, map[string]string{"retention.ms": "-1"}) // They are old.
	stamps := []int64{1_700_000_000_000, 1_600_000_000_000, 1_700_000_000_500}
	for _, stamp := range stamps {
		send(t, producer(t), &sarama.ProducerMessage{Topic: topic, Timestamp: time.UnixMilli(stamp)})
	}
	for n, message := range read(t, reader(t, topic, 0, 0).Messages(), 3) {
		same(t, message.Timestamp.UnixMilli(), stamps[n])
	}
}

func TestLogAppendTimeReplacesTheProducers(t *testing.T) {
	topic := createOn(t, shared, 1, map[string]string{"message.timestamp.type": "LogAppendTime"})
	before := time.Now().UnixMilli()
	send(t, producer(t), &sarama.ProducerMessage{Topic: topic, Timestamp: time.UnixMilli(1_700_000_000_000)})
	came := read(t, reader(t, topic, 0, 0).Messages(), 1)[0]
	if stamp := came.Timestamp.UnixMilli(); stamp < before-5 || stamp > time.Now().UnixMilli()+5 {
		t.Fatalf("%d is not the time of the append", stamp)
	}
}

func TestNamingAnUnknownTopicCreatesIt(t *testing.T) {
	topic := broker.Name()
	one := producer(t, func(config *sarama.Config) { config.Metadata.AllowAutoTopicCreation = true })
	send(t, one, messages(topic, []string{"v"})...)
	equal(t, values(read(t, reader(t, topic, 0, 0).Messages(), 1)), []string{"v"})
}
