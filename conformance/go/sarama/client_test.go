// Package sarama is IBM's sarama against the real binary.
package sarama

import (
	"context"
	"errors"
	"io"
	"log"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"tramline/conformance/broker"
)

const limit = 60 * time.Second

var shared *broker.Broker

func TestMain(m *testing.M) {
	sarama.Logger = log.New(io.Discard, "", 0)
	broker.Shared(m, &shared)
}

func config(change ...func(*sarama.Config)) *sarama.Config {
	config := sarama.NewConfig()
	config.ClientID = "conformance"
	config.Version = sarama.MaxVersion
	config.Metadata.Retry.Max = 20
	config.Metadata.Retry.Backoff = 50 * time.Millisecond
	config.Metadata.AllowAutoTopicCreation = false
	config.Producer.Return.Successes = true
	config.Producer.Retry.Max = 50
	config.Producer.Retry.Backoff = 50 * time.Millisecond
	config.Consumer.MaxWaitTime = 200 * time.Millisecond
	config.Consumer.Retry.Backoff = 50 * time.Millisecond
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Group.Session.Timeout = 6 * time.Second
	config.Consumer.Group.Heartbeat.Interval = 200 * time.Millisecond
	config.Consumer.Group.Rebalance.Retry.Backoff = 50 * time.Millisecond
	for _, one := range change {
		one(config)
	}
	return config
}

func clientOf(t *testing.T, b *broker.Broker, change ...func(*sarama.Config)) sarama.Client {
	t.Helper()
	client, err := sarama.NewClient([]string{b.Kafka}, config(change...))
	check(t, err)
	t.Cleanup(func() { client.Close() })
	return client
}

func producerOf(t *testing.T, b *broker.Broker, change ...func(*sarama.Config)) sarama.SyncProducer {
	t.Helper()
	producer, err := sarama.NewSyncProducerFromClient(clientOf(t, b, change...))
	check(t, err)
	t.Cleanup(func() { producer.Close() })
	return producer
}

func producer(t *testing.T, change ...func(*sarama.Config)) sarama.SyncProducer {
	t.Helper()
	return producerOf(t, shared, change...)
}

func idempotent(config *sarama.Config) {
	config.Producer.Idempotent = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Net.MaxOpenRequests = 1
}

func manual(config *sarama.Config) { config.Producer.Partitioner = sarama.NewManualPartitioner }

func adminOf(t *testing.T, b *broker.Broker) sarama.ClusterAdmin {
	t.Helper()
	admin, err := sarama.NewClusterAdmin([]string{b.Kafka}, config())
	check(t, err)
	t.Cleanup(func() { admin.Close() })
	return admin
}

func admin(t *testing.T) sarama.ClusterAdmin {
	t.Helper()
	return adminOf(t, shared)
}

func createOn(t *testing.T, b *broker.Broker, partitions int32, entries map[string]string) string {
	t.Helper()
	topic := broker.Name()
	detail := &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: map[string]*string{}}
	for name, value := range entries {
		detail.ConfigEntries[name] = &value
	}
	check(t, adminOf(t, b).CreateTopic(topic, detail, false))
	return topic
}

func create(t *testing.T, partitions int32) string {
	t.Helper()
	return createOn(t, shared, partitions, nil)
}

func messages(topic string, values []string) []*sarama.ProducerMessage {
	var messages []*sarama.ProducerMessage
	for _, value := range values {
		messages = append(messages, &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(value)})
	}
	return messages
}

func send(t *testing.T, producer sarama.SyncProducer, messages ...*sarama.ProducerMessage) {
	t.Helper()
	check(t, producer.SendMessages(messages))
}

func readerOf(t *testing.T, b *broker.Broker, topic string, partition int32, offset int64, change ...func(*sarama.Config)) sarama.PartitionConsumer {
	t.Helper()
	consumer, err := sarama.NewConsumerFromClient(clientOf(t, b, change...))
	check(t, err)
	reader, err := consumer.ConsumePartition(topic, partition, offset)
	check(t, err)
	t.Cleanup(func() {
		reader.Close()
		consumer.Close()
	})
	return reader
}

func reader(t *testing.T, topic string, partition int32, offset int64, change ...func(*sarama.Config)) sarama.PartitionConsumer {
	t.Helper()
	return readerOf(t, shared, topic, partition, offset, change...)
}

// read gives the next count messages; fewer within the limit fail.
func read(t *testing.T, messages <-chan *sarama.ConsumerMessage, count int) []*sarama.ConsumerMessage {
	t.Helper()
	var came []*sarama.ConsumerMessage
	for late := time.After(limit); len(came) < count; {
		select {
		case message := <-messages:
			if message == nil {
				t.Fatal("the reader ended")
			}
			came = append(came, message)
		case <-late:
			t.Fatalf("%d of %d messages came within %s", len(came), count, limit)
		}
	}
	return came
}

// readNothing fails when a message comes.
func readNothing(t *testing.T, messages <-chan *sarama.ConsumerMessage) {
	t.Helper()
	select {
	case message := <-messages:
		t.Fatalf("unexpected: %q at %d", message.Value, message.Offset)
	case <-time.After(500 * time.Millisecond):
	}
}

// member is one of a group: it gives the messages that come and knows its partitions.
type member struct {
	group    sarama.ConsumerGroup
	messages chan *sarama.ConsumerMessage
	cancel   context.CancelFunc
	ended    chan struct{}

	lock     sync.Mutex
	session  sarama.ConsumerGroupSession
	has      []int32
	sessions int
}

func join(t *testing.T, b *broker.Broker, group, topic string, change ...func(*sarama.Config)) *member {
	t.Helper()
	one, err := sarama.NewConsumerGroupFromClient(group, clientOf(t, b, change...))
	check(t, err)
	cx, cancel := context.WithCancel(context.Background())
	m := &member{group: one, messages: make(chan *sarama.ConsumerMessage, 1000), cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(m.ended)
		for cx.Err() == nil {
			if err := one.Consume(cx, []string{topic}, m); errors.Is(err, sarama.ErrClosedConsumerGroup) {
				return
			} else if err != nil {
				time.Sleep(50 * time.Millisecond)
			}
		}
	}()
	t.Cleanup(m.leave)
	return m
}

func (m *member) leave() {
	m.cancel()
	m.group.Close()
	<-m.ended
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.session, m.has = session, nil
	m.sessions++
	for _, partitions := range session.Claims() {
		m.has = append(m.has, partitions...)
	}
	slices.Sort(m.has)
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.has = nil
	return nil
}

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			m.messages <- message
		case <-session.Context().Done():
			return nil
		}
	}
}

func (m *member) partitions() []int32 {
	m.lock.Lock()
	defer m.lock.Unlock()
	return slices.Clone(m.has)
}

func (m *member) commit(message *sarama.ConsumerMessage) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.session.MarkMessage(message, "note")
	m.session.Commit()
}

func committed(t *testing.T, admin sarama.ClusterAdmin, group, topic string) int64 {
	t.Helper()
	found, err := admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0}})
	check(t, err)
	return found.Blocks[topic][0].Offset
}

func values(messages []*sarama.ConsumerMessage) []string {
	values := make([]string, 0, len(messages))
	for _, message := range messages {
		values = append(values, string(message.Value))
	}
	return values
}

func equal[T comparable](t *testing.T, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func same[T comparable](t *testing.T, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}
