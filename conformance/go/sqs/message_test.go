package sqs

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"tramline/conformance/broker"
)

func TestMessageComesBackAsItWasSent(t *testing.T) {
	c, ctx := connect(), within(t)
	queue := declare(t, c, nil)
	value := func(kind, text string) types.MessageAttributeValue {
		return types.MessageAttributeValue{DataType: &kind, StringValue: &text}
	}
	binary := []byte{0, 255, 1}
	sent := must(c.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: queue, MessageBody: aws.String("<käse>\r\n\t\"&"),
		MessageAttributes: map[string]types.MessageAttributeValue{
			"text": value("String", "käse"), "number": value("Number.int", "-5"),
			"bytes": {DataType: aws.String("Binary"), BinaryValue: binary},
		},
		MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{
			"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String("Root=1-2-3")},
		},
	}))(t)
	messages := receive(t, c, queue)
	equalAll(t, bodies(messages), []string{"<käse>\r\n\t\"&"})
	message := messages[0]
	equal(t, *message.MessageId, *sent.MessageId)
	equal(t, *message.MD5OfMessageAttributes, *sent.MD5OfMessageAttributes)
	equal(t, *message.MessageAttributes["number"].DataType, "Number.int")
	equal(t, *message.MessageAttributes["number"].StringValue, "-5")
	equal(t, *message.MessageAttributes["text"].StringValue, "käse")
	if have := message.MessageAttributes["bytes"].BinaryValue; !bytes.Equal(have, binary) {
		t.Fatal(have)
	}
	equal(t, message.Attributes["AWSTraceHeader"], "Root=1-2-3")
	equal(t, message.Attributes["ApproximateReceiveCount"], "1")
	remove(t, c, queue, messages)
	receiveNone(t, c, queue)
}

func TestWaitingReceiveIsAnsweredWhenAMessageComes(t *testing.T) {
	c := connect()
	queue := declare(t, c, nil)
	started := time.Now()
	found := make(chan []types.Message)
	ctx := within(t)
	go func() {
		input := &sqs.ReceiveMessageInput{QueueUrl: queue, WaitTimeSeconds: 20}
		answer, err := c.ReceiveMessage(ctx, input)
		if err != nil {
			t.Error(err)
			answer = &sqs.ReceiveMessageOutput{}
		}
		found <- answer.Messages
	}()
	send(t, c, queue, "late")
	equalAll(t, bodies(<-found), []string{"late"})
	if took := time.Since(started); took > 19*time.Second {
		t.Fatal(took)
	}
}

func TestEmptyReceiveWaitsForAsLongAsItSays(t *testing.T) {
	c := connect()
	queue := declare(t, c, attributes{"ReceiveMessageWaitTimeSeconds": "1"})
	started := time.Now()
	receiveNone(t, c, queue)
	if took := time.Since(started); took < 950*time.Millisecond {
		t.Fatal(took)
	}
}

func TestDelayedMessageComesLater(t *testing.T) {
	c := connect()
	queue := declare(t, c, nil)
	started := time.Now()
	input := &sqs.SendMessageInput{QueueUrl: queue, MessageBody: aws.String("x"), DelaySeconds: 2}
	must(c.SendMessage(within(t), input))(t)
	receiveAll(t, c, queue, 1)
	if took := time.Since(started); took < 1950*time.Millisecond {
		t.Fatal(took)
	}
}

func TestVisibilityEndsAndIsChanged(t *testing.T) {
	c := connect()
	queue := declare(t, c, nil)
	send(t, c, queue, "x")
	first := receiveWith(t, c, sqs.ReceiveMessageInput{
		QueueUrl: queue, WaitTimeSeconds: 5, VisibilityTimeout: 1,
	})
	again := receiveAll(t, c, queue, 1)
	equal(t, again[0].Attributes["ApproximateReceiveCount"], "2")
	if *again[0].ReceiptHandle == *first[0].ReceiptHandle {
		t.Fatal("the same handle")
	}
	show(t, c, queue, again, 0)
	third := receiveAll(t, c, queue, 1)
	remove(t, c, queue, third)
	receiveNone(t, c, queue)
}

func TestHandlesThatNeverWereAreRefused(t *testing.T) {
	c := connect()
	queue := declare(t, c, nil)
	input := &sqs.DeleteMessageInput{QueueUrl: queue, ReceiptHandle: aws.String("nonsense")}
	_, err := c.DeleteMessage(within(t), input)
	if wrong := new(types.ReceiptHandleIsInvalid); !errors.As(err, &wrong) {
		t.Fatal(err)
	}
}

func entries(bodies ...string) []types.SendMessageBatchRequestEntry {
	var entries []types.SendMessageBatchRequestEntry
	for _, body := range bodies {
		entries = append(entries, types.SendMessageBatchRequestEntry{Id: aws.String("id" + body), MessageBody: &body})
	}
	return entries
}

func TestBatches(t *testing.T) {
	c, ctx := connect(), within(t)
	queue := declare(t, c, nil)
	input := &sqs.SendMessageBatchInput{QueueUrl: queue, Entries: entries(broker.Numbers(0, 10)...)}
	sent := must(c.SendMessageBatch(ctx, input))(t)
	equal(t, len(sent.Successful), 10)
	equal(t, len(sent.Failed), 0)
	messages := receiveAll(t, c, queue, 10)
	equalAll(t, sorted(bodies(messages)), broker.Numbers(0, 10))
	var shown []types.ChangeMessageVisibilityBatchRequestEntry
	for _, message := range messages {
		shown = append(shown, types.ChangeMessageVisibilityBatchRequestEntry{
			Id: aws.String("s" + *message.Body), ReceiptHandle: message.ReceiptHandle,
		})
	}
	changed := must(c.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{
		QueueUrl: queue, Entries: shown,
	}))(t)
	equal(t, len(changed.Successful), 10)
	var gone []types.DeleteMessageBatchRequestEntry
	for _, message := range receiveAll(t, c, queue, 10) {
		gone = append(gone, types.DeleteMessageBatchRequestEntry{
			Id: aws.String("d" + *message.Body), ReceiptHandle: message.ReceiptHandle,
		})
	}
	gone[9].ReceiptHandle = aws.String("nonsense")
	deleted := must(c.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: queue, Entries: gone}))(t)
	equal(t, len(deleted.Successful), 9)
	equal(t, *deleted.Failed[0].Code, "ReceiptHandleIsInvalid")
	equal(t, attribute(t, c, queue, "ApproximateNumberOfMessagesNotVisible"), "1")
}

func TestSomeOfABatchFail(t *testing.T) {
	c := connect()
	queue := declare(t, c, nil)
	wrong := entries("a", "b\u0001", "c")
	wrong[1].Id = aws.String("b")
	wrong[2].DelaySeconds = 901
	sent := must(c.SendMessageBatch(within(t), &sqs.SendMessageBatchInput{QueueUrl: queue, Entries: wrong}))(t)
	equal(t, *sent.Successful[0].Id, "ida")
	equal(t, len(sent.Failed), 2)
	for _, failed := range sent.Failed {
		equal(t, failed.SenderFault, true)
	}
	equal(t, *sent.Failed[0].Code, "InvalidMessageContents")
}

func TestWrongBatchesAreRefusedWhole(t *testing.T) {
	c := connect()
	queue := declare(t, c, nil)
	large := strings.Repeat("x", 600_000)
	for code, entries := range map[string][]types.SendMessageBatchRequestEntry{
		"EmptyBatchRequest":            {},
		"BatchEntryIdsNotDistinct":     entries("a", "a"),
		"TooManyEntriesInBatchRequest": entries(broker.Numbers(0, 11)...),
		"InvalidBatchEntryId":          entries("a b"),
		"BatchRequestTooLong": {
			{Id: aws.String("a"), MessageBody: &large}, {Id: aws.String("b"), MessageBody: &large},
		},
	} {
		_, err := c.SendMessageBatch(within(t), &sqs.SendMessageBatchInput{QueueUrl: queue, Entries: entries})
		refused(t, err, "AWS.SimpleQueueService."+code)
	}
	equal(t, attribute(t, c, queue, "ApproximateNumberOfMessages"), "0")
}

func TestMessageOfAMebibyte(t *testing.T) {
	c := connect()
	queue := declare(t, c, nil)
	body := strings.Repeat("x", 1<<20)
	send(t, c, queue, body)
	equal(t, *receiveAll(t, c, queue, 1)[0].Body == body, true)
	body += "x"
	_, err := c.SendMessage(within(t), &sqs.SendMessageInput{QueueUrl: queue, MessageBody: &body})
	refused(t, err, "InvalidParameterValue")
}

func TestPurge(t *testing.T) {
	c := connect()
	queue := declare(t, c, nil)
	send(t, c, queue, broker.Numbers(0, 5)...)
	must(c.PurgeQueue(within(t), &sqs.PurgeQueueInput{QueueUrl: queue}))(t)
	broker.Until(t, "an empty queue", func() bool {
		return attribute(t, c, queue, "ApproximateNumberOfMessages") == "0"
	})
}

func TestManyReceiversGetEachMessageOnce(t *testing.T) {
	c, ctx := connect(), within(t)
	queue := declare(t, c, attributes{"VisibilityTimeout": "600"})
	const n = 500
	var lock sync.Mutex
	var found []string
	var group sync.WaitGroup
	for range 8 {
		group.Add(1)
		go func() {
			defer group.Done()
			for isDone := false; !isDone; {
				input := &sqs.ReceiveMessageInput{QueueUrl: queue, MaxNumberOfMessages: 10, WaitTimeSeconds: 1}
				answer, err := c.ReceiveMessage(ctx, input)
				if err != nil {
					t.Error(err)
					return
				}
				lock.Lock()
				found = append(found, bodies(answer.Messages)...)
				isDone = len(found) >= n
				lock.Unlock()
			}
		}()
	}
	send(t, c, queue, broker.Numbers(0, n)...)
	group.Wait()
	equalAll(t, sorted(found), broker.Numbers(0, n))
}

func sendTo(t *testing.T, c *sqs.Client, queue *string, group string, texts ...string) {
	t.Helper()
	for _, body := range texts {
		input := &sqs.SendMessageInput{QueueUrl: queue, MessageBody: &body, MessageGroupId: &group}
		must(c.SendMessage(within(t), input))(t)
	}
}

func TestGroupsKeepTheirOrder(t *testing.T) {
	c := connect()
	queue := declareFIFO(t, c)
	for _, n := range broker.Numbers(0, 12) {
		sendTo(t, c, queue, "a", "a"+n)
		sendTo(t, c, queue, "b", "b"+n)
	}
	found := map[string][]string{}
	for n := 0; n < 24; {
		messages := receive(t, c, queue)
		for _, body := range bodies(messages) {
			found[body[:1]] = append(found[body[:1]], body[1:])
		}
		remove(t, c, queue, messages)
		n += len(messages)
	}
	equalAll(t, found["a"], broker.Numbers(0, 12))
	equalAll(t, found["b"], broker.Numbers(0, 12))
}

func TestGroupWaitsWhileOneOfItIsOut(t *testing.T) {
	c := connect()
	queue := declareFIFO(t, c)
	sendTo(t, c, queue, "g", "1", "2")
	first := receiveWith(t, c, sqs.ReceiveMessageInput{QueueUrl: queue, MaxNumberOfMessages: 1, WaitTimeSeconds: 5})
	receiveNone(t, c, queue)
	show(t, c, queue, first, 0)
	equal(t, bodies(receive(t, c, queue))[0], "1")
}

func TestRepeatsAreAcceptedAndNotDelivered(t *testing.T) {
	c := connect()
	queue := declareFIFO(t, c)
	sendTo(t, c, queue, "g", "x", "x", "y", "x")
	messages := receiveAll(t, c, queue, 2)
	equalAll(t, bodies(messages), []string{"x", "y"})
	if messages[0].Attributes["SequenceNumber"] >= messages[1].Attributes["SequenceNumber"] {
		t.Fatal("numbers do not grow")
	}
	remove(t, c, queue, messages)
	sendTo(t, c, queue, "g", "x", "z")
	equalAll(t, bodies(receiveAll(t, c, queue, 1)), []string{"z"})
}

func TestWhatFIFOQueuesAskFor(t *testing.T) {
	c := connect()
	queue, plain := declareFIFO(t, c), declare(t, c, nil)
	body := aws.String("x")
	_, err := c.SendMessage(within(t), &sqs.SendMessageInput{QueueUrl: queue, MessageBody: body})
	refused(t, err, "MissingParameter")
	_, err = c.SendMessage(within(t), &sqs.SendMessageInput{
		QueueUrl: queue, MessageBody: body, MessageGroupId: body, DelaySeconds: 1,
	})
	refused(t, err, "InvalidParameterValue")
	_, err = c.SendMessage(within(t), &sqs.SendMessageInput{
		QueueUrl: plain, MessageBody: body, MessageDeduplicationId: body,
	})
	refused(t, err, "InvalidParameterValue")
}

// policy makes a queue of which messages go to another after one receive.
func dying(t *testing.T, c *sqs.Client) (source, dead *string, arn string) {
	t.Helper()
	dead = declare(t, c, nil)
	arn = attribute(t, c, dead, "QueueArn")
	policy := `{"deadLetterTargetArn":"` + arn + `","maxReceiveCount":1}`
	return declare(t, c, attributes{"RedrivePolicy": policy}), dead, arn
}

func die(t *testing.T, c *sqs.Client, source, dead *string, texts ...string) {
	t.Helper()
	send(t, c, source, texts...)
	show(t, c, source, receiveAll(t, c, source, len(texts)), 0)
	broker.Until(t, "dead letters", func() bool {
		return attribute(t, c, dead, "ApproximateNumberOfMessages") == broker.Numbers(len(texts), len(texts)+1)[0]
	})
}

func TestDeadLettersGoBack(t *testing.T) {
	c, ctx := connect(), within(t)
	source, dead, arn := dying(t, c)
	die(t, c, source, dead, broker.Numbers(0, 4)...)
	sources := must(c.ListDeadLetterSourceQueues(ctx, &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: dead}))(t)
	equalAll(t, sources.QueueUrls, []string{*source})
	must(c.StartMessageMoveTask(ctx, &sqs.StartMessageMoveTaskInput{SourceArn: &arn}))(t)
	moved := receiveAll(t, c, source, 4)
	equalAll(t, sorted(bodies(moved)), broker.Numbers(0, 4))
	broker.Until(t, "the end of the task", func() bool {
		tasks := must(c.ListMessageMoveTasks(ctx, &sqs.ListMessageMoveTasksInput{SourceArn: &arn}))(t)
		return *tasks.Results[0].Status == "COMPLETED"
	})
}

func TestMoveTaskIsCancelled(t *testing.T) {
	c, ctx := connect(), within(t)
	source, dead, arn := dying(t, c)
	die(t, c, source, dead, broker.Numbers(0, 20)...)
	slow := &sqs.StartMessageMoveTaskInput{SourceArn: &arn, MaxNumberOfMessagesPerSecond: aws.Int32(1)}
	task := must(c.StartMessageMoveTask(ctx, slow))(t)
	_, err := c.StartMessageMoveTask(ctx, slow)
	refused(t, err, "AWS.SimpleQueueService.UnsupportedOperation")
	must(c.CancelMessageMoveTask(ctx, &sqs.CancelMessageMoveTaskInput{TaskHandle: task.TaskHandle}))(t)
	broker.Until(t, "the end of the task", func() bool {
		tasks := must(c.ListMessageMoveTasks(ctx, &sqs.ListMessageMoveTasksInput{SourceArn: &arn}))(t)
		return *tasks.Results[0].Status == "CANCELLED"
	})
	gone := &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(arn + "-not")}
	_, err = c.StartMessageMoveTask(ctx, gone)
	refused(t, err, "ResourceNotFoundException")
}

func TestEverythingOutlivesARestart(t *testing.T) {
	for _, how := range []string{"stop", "kill"} {
		t.Run(how, func(t *testing.T) {
			own := broker.Own(t)
			c := clientOf(own, "test")
			queue := declare(t, c, attributes{"VisibilityTimeout": "600"})
			send(t, c, queue, broker.Numbers(0, 30)...)
			out := receiveAll(t, c, queue, 10)
			remove(t, c, queue, out[:5])
			own.Restart(t, how)
			remove(t, c, queue, out[5:])
			left := append(bodies(out), bodies(receiveAll(t, c, queue, 30-len(out)))...)
			equalAll(t, sorted(slices.Clone(left)), broker.Numbers(0, 30))
		})
	}
}
