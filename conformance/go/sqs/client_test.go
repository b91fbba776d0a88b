// Package sqs is the AWS SDK for Go against the real binary.
package sqs

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"tramline/conformance/broker"
)

const limit = 60 * time.Second

var shared *broker.Broker

func TestMain(m *testing.M) { broker.Shared(m, &shared) }

type attributes = map[string]string

func clientOf(b *broker.Broker, key string) *sqs.Client {
	provide := func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: key, SecretAccessKey: "secret"}, nil
	}
	return sqs.New(sqs.Options{
		BaseEndpoint:     aws.String("http://" + b.SQS),
		Credentials:      aws.CredentialsProviderFunc(provide),
		Region:           "us-east-1",
		RetryMaxAttempts: 10,
	})
}

func connect() *sqs.Client { return clientOf(shared, "test") }

// within is a time limit for one test's calls.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*limit)
	t.Cleanup(cancel)
	return ctx
}

func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// refused tells the code of an error.
func refused(t *testing.T, err error, code string) {
	t.Helper()
	var refusal smithy.APIError
	if !errors.As(err, &refusal) || refusal.ErrorCode() != code {
		t.Fatalf("%v, not %s", err, code)
	}
}

func equal[T comparable](t *testing.T, have, wanted T) {
	t.Helper()
	if have != wanted {
		t.Fatalf("%v, not %v", have, wanted)
	}
}

func equalAll[T comparable](t *testing.T, have, wanted []T) {
	t.Helper()
	if !slices.Equal(have, wanted) {
		t.Fatalf("%v, not %v", have, wanted)
	}
}

func declareAs(t *testing.T, c *sqs.Client, suffix string, with attributes) *string {
	t.Helper()
	input := &sqs.CreateQueueInput{QueueName: aws.String(broker.Name() + suffix), Attributes: with}
	return must(c.CreateQueue(within(t), input))(t).QueueUrl
}

// declare makes a queue with a name of its own.
func declare(t *testing.T, c *sqs.Client, with attributes) *string {
	t.Helper()
	return declareAs(t, c, "", with)
}

// declareFIFO makes a FIFO queue whose repeats the bodies tell.
func declareFIFO(t *testing.T, c *sqs.Client) *string {
	t.Helper()
	return declareAs(t, c, ".fifo", attributes{"FifoQueue": "true", "ContentBasedDeduplication": "true"})
}

func send(t *testing.T, c *sqs.Client, queue *string, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		must(c.SendMessage(within(t), &sqs.SendMessageInput{QueueUrl: queue, MessageBody: &body}))(t)
	}
}

func receiveWith(t *testing.T, c *sqs.Client, input sqs.ReceiveMessageInput) []types.Message {
	t.Helper()
	if input.MaxNumberOfMessages == 0 {
		input.MaxNumberOfMessages = 10
	}
	input.MessageAttributeNames = []string{"All"}
	input.MessageSystemAttributeNames = []types.MessageSystemAttributeName{"All"}
	return must(c.ReceiveMessage(within(t), &input))(t).Messages
}

// receive is one receive, which waits.
func receive(t *testing.T, c *sqs.Client, queue *string) []types.Message {
	t.Helper()
	return receiveWith(t, c, sqs.ReceiveMessageInput{QueueUrl: queue, WaitTimeSeconds: 5})
}

// receiveNone is one that does not wait, and finds nothing.
func receiveNone(t *testing.T, c *sqs.Client, queue *string) {
	t.Helper()
	if found := receiveWith(t, c, sqs.ReceiveMessageInput{QueueUrl: queue}); len(found) > 0 {
		t.Fatalf("%q", bodies(found))
	}
}

// receiveAll receives until there are n messages.
func receiveAll(t *testing.T, c *sqs.Client, queue *string, n int) []types.Message {
	t.Helper()
	var messages []types.Message
	broker.Until(t, strconv.Itoa(n)+" messages", func() bool {
		messages = append(messages, receive(t, c, queue)...)
		return len(messages) >= n
	})
	return messages
}

func remove(t *testing.T, c *sqs.Client, queue *string, messages []types.Message) {
	t.Helper()
	for _, message := range messages {
		input := &sqs.DeleteMessageInput{QueueUrl: queue, ReceiptHandle: message.ReceiptHandle}
		must(c.DeleteMessage(within(t), input))(t)
	}
}

func show(t *testing.T, c *sqs.Client, queue *string, messages []types.Message, seconds int32) {
	t.Helper()
	for _, message := range messages {
		must(c.ChangeMessageVisibility(within(t), &sqs.ChangeMessageVisibilityInput{
			QueueUrl: queue, ReceiptHandle: message.ReceiptHandle, VisibilityTimeout: seconds,
		}))(t)
	}
}

func attribute(t *testing.T, c *sqs.Client, queue *string, name string) string {
	t.Helper()
	names := []types.QueueAttributeName{types.QueueAttributeName(name)}
	input := &sqs.GetQueueAttributesInput{QueueUrl: queue, AttributeNames: names}
	return must(c.GetQueueAttributes(within(t), input))(t).Attributes[name]
}

func bodies(messages []types.Message) []string {
	texts := make([]string, 0, len(messages))
	for _, message := range messages {
		texts = append(texts, *message.Body)
	}
	return texts
}

func sorted(texts []string) []string {
	slices.SortFunc(texts, func(a, b string) int {
		x, _ := strconv.Atoi(a)
		y, _ := strconv.Atoi(b)
		return x - y
	})
	return texts
}
