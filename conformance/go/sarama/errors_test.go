package sarama

import (
	"testing"

	"github.com/IBM/sarama"
	"tramline/conformance/broker"
)

func TestATopicThatDoesNotExistIsRefusedToAProducer(t *testing.T) {
	one := producer(t, func(config *sarama.Config) { config.Metadata.Retry.Max = 1 })
	_, _, err := one.SendMessage(messages(broker.Name(), []string{"v"})[0])
	refused(t, err, sarama.ErrUnknownTopicOrPartition)
}

func TestATopicThatDoesNotExistIsRefusedToAReader(t *testing.T) {
	one := clientOf(t, shared, func(config *sarama.Config) { config.Metadata.Retry.Max = 1 })
	_, err := one.Partitions(broker.Name())
	refused(t, err, sarama.ErrUnknownTopicOrPartition)
}

func TestAMessageAboveTheLimitIsRefusedAndTheNextIsTaken(t *testing.T) {
	topic := createOn(t, shared, 1, map[string]string{"max.message.bytes": "2000"})
	one := producer(t)
	large := &sarama.ProducerMessage{Topic: topic, Value: sarama.ByteEncoder(make([]byte, 3000))}
	_, _, err := one.SendMessage(large)
	refused(t, err, sarama.ErrMessageSizeTooLarge)
	send(t, one, messages(topic, []string{"small"})...)
	equal(t, values(read(t, reader(t, topic, 0, 0).Messages(), 1)), []string{"small"})
}

func TestAnOffsetOutOfRangeIsAnError(t *testing.T) {
	consumer, err := sarama.NewConsumerFromClient(clientOf(t, shared))
	check(t, err)
	defer consumer.Close()
	_, err = consumer.ConsumePartition(hundred(t), 0, 5000)
	refused(t, err, sarama.ErrOffsetOutOfRange)
}

func TestACommittedOffsetOutOfRangeIsReset(t *testing.T) {
	topic, group := hundred(t), broker.Name()
	places, err := sarama.NewOffsetManagerFromClient(group, clientOf(t, shared))
	check(t, err)
	place, err := places.ManagePartition(topic, 0)
	check(t, err)
	place.MarkOffset(5000, "")
	places.Commit()
	check(t, places.Close())
	same(t, read(t, join(t, shared, group, topic).messages, 1)[0].Offset, 0)
}

func TestANameThatIsNotAllowedIsRefused(t *testing.T) {
	detail := &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}
	refused(t, admin(t).CreateTopic("with space", detail, false), sarama.ErrInvalidTopic)
}
