package franz

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"tramline/conformance/broker"
)

func TestATopicThatDoesNotExistIsRefusedToAProducer(t *testing.T) {
	one := client(t, kgo.UnknownTopicRetries(1))
	err := one.ProduceSync(within(t), records(broker.Name(), []string{"v"})...).FirstErr()
	refused(t, err, kerr.UnknownTopicOrPartition)
}

func TestAPartitionThatDoesNotExistIsRefused(t *testing.T) {
	topic := create(t, 1)
	one := client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	err := one.ProduceSync(within(t), &kgo.Record{Topic: topic, Partition: 7}).FirstErr()
	if err == nil {
		t.Fatal("it was taken")
	}
}

func TestARecordAboveTheLimitIsRefusedAndTheNextIsTaken(t *testing.T) {
	topic := createOn(t, shared, 1, map[string]string{"max.message.bytes": "2000"})
	one := client(t, kgo.ProducerBatchCompression(kgo.NoCompression()))
	err := one.ProduceSync(within(t), &kgo.Record{Topic: topic, Value: make([]byte, 3000)}).FirstErr()
	refused(t, err, kerr.MessageTooLarge)
	send(t, one, records(topic, []string{"small"})...)
	equal(t, values(read(t, reader(t, topic, 0, start()), 1)), []string{"small"})
}

func TestAnOffsetOutOfRangeIsResetAsTheClientAsks(t *testing.T) {
	topic := hundred(t)
	same(t, read(t, reader(t, topic, 0, kgo.NewOffset().At(5000), kgo.ConsumeResetOffset(start())), 1)[0].Offset, 0)
	late := reader(t, topic, 0, kgo.NewOffset().At(5000), kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()))
	readNothing(t, late)
	send(t, client(t), records(topic, []string{"later"})...)
	same(t, read(t, late, 1)[0].Offset, 100)
}

func TestAnOffsetOutOfRangeIsAnErrorWhereTheClientDoesNotReset(t *testing.T) {
	one := reader(t, hundred(t), 0, kgo.NewOffset().At(5000), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	fetches := one.PollFetches(within(t))
	refused(t, fetches.Err(), kerr.OffsetOutOfRange)
}

func TestANameThatIsNotAllowedIsRefused(t *testing.T) {
	_, err := admin(t).CreateTopic(within(t), 1, 1, nil, "with space")
	refused(t, err, kerr.InvalidTopicException)
}

func TestACommitOfAnotherGenerationIsRefused(t *testing.T) {
	group, topic, _ := groupOf(t)
	var offsets kadm.Offsets
	offsets.AddOffset(topic, 0, 1, -1)
	refused(t, admin(t).CommitAllOffsets(within(t), group, offsets), kerr.UnknownMemberID)
}

func TestATransactionIsRefusedForGood(t *testing.T) {
	one := client(t, kgo.TransactionalID(broker.Name()))
	err := one.BeginTransaction()
	if err == nil || !strings.Contains(err.Error(), "TRANSACTIONAL_ID_AUTHORIZATION_FAILED") {
		t.Fatalf("got %v", err)
	}
}
