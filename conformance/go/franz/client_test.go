// Package franz is franz-go, with kadm for administration, against the real binary.
package franz

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"tramline/conformance/broker"
)

const limit = 60 * time.Second

var shared *broker.Broker

func TestMain(m *testing.M) { broker.Shared(m, &shared) }

func within(t *testing.T) context.Context {
	t.Helper()
	cx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return cx
}

func clientOf(t *testing.T, b *broker.Broker, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	all := []kgo.Opt{
		kgo.SeedBrokers(b.Kafka),
		kgo.ClientID("conformance"),
		kgo.FetchMaxWait(200 * time.Millisecond),
		kgo.MetadataMinAge(50 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }),
	}
	client, err := kgo.NewClient(append(all, options...)...)
	check(t, err)
	t.Cleanup(client.Close)
	return client
}

func client(t *testing.T, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	return clientOf(t, shared, options...)
}

func member(t *testing.T, b *broker.Broker, group, topic string, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	all := []kgo.Opt{
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topic),
		kgo.DisableAutoCommit(),
		kgo.SessionTimeout(6 * time.Second),
		kgo.HeartbeatInterval(200 * time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	}
	return clientOf(t, b, append(all, options...)...)
}

// reader reads one partition from an offset, without a group.
func reader(t *testing.T, topic string, partition int32, from kgo.Offset, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	places := map[string]map[int32]kgo.Offset{topic: {partition: from}}
	return client(t, append(options, kgo.ConsumePartitions(places))...)
}

func admin(t *testing.T) *kadm.Client {
	t.Helper()
	return kadm.NewClient(client(t))
}

func createOn(t *testing.T, b *broker.Broker, partitions int32, config map[string]string) string {
	t.Helper()
	topic := broker.Name()
	values := make(map[string]*string)
	for name, value := range config {
		values[name] = &value
	}
	_, err := kadm.NewClient(clientOf(t, b)).CreateTopic(within(t), partitions, -1, values, topic)
	check(t, err)
	return topic
}

func create(t *testing.T, partitions int32) string {
	t.Helper()
	return createOn(t, shared, partitions, nil)
}

func records(topic string, values []string) []*kgo.Record {
	records := make([]*kgo.Record, 0, len(values))
	for _, value := range values {
		records = append(records, &kgo.Record{Topic: topic, Value: []byte(value)})
	}
	return records
}

func send(t *testing.T, client *kgo.Client, records ...*kgo.Record) {
	t.Helper()
	check(t, client.ProduceSync(within(t), records...).FirstErr())
}

// read gives the next count records; fewer within the limit fail.
func read(t *testing.T, client *kgo.Client, count int) []*kgo.Record {
	t.Helper()
	cx := within(t)
	var records []*kgo.Record
	for len(records) < count {
		fetches := client.PollRecords(cx, count-len(records))
		if cx.Err() != nil {
			t.Fatalf("%d of %d records came within %s", len(records), count, limit)
		}
		fetches.EachError(func(topic string, partition int32, err error) {
			t.Fatalf("%s/%d: %v", topic, partition, err)
		})
		records = append(records, fetches.Records()...)
	}
	return records
}

// readNothing fails when a record comes.
func readNothing(t *testing.T, client *kgo.Client) {
	t.Helper()
	cx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if records := client.PollFetches(cx).Records(); len(records) > 0 {
		t.Fatalf("unexpected: %q", values(records))
	}
}

func values(records []*kgo.Record) []string {
	values := make([]string, 0, len(records))
	for _, record := range records {
		values = append(values, string(record.Value))
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

func number(n int) []byte { return fmt.Append(nil, n) }
