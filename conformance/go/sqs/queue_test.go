package sqs

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"tramline/conformance/broker"
)

func TestQueueIsMadeFoundListedAndDeleted(t *testing.T) {
	c, ctx, name := connect(), within(t), broker.Name()
	url := must(c.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name}))(t).QueueUrl
	equal(t, *url, "http://"+shared.SQS+"/000000000000/"+name)
	equal(t, *must(c.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name}))(t).QueueUrl, *url)
	list := func() []string {
		return must(c.ListQueues(ctx, &sqs.ListQueuesInput{QueueNamePrefix: &name}))(t).QueueUrls
	}
	equalAll(t, list(), []string{*url})
	must(c.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: url}))(t)
	equalAll(t, list(), nil)
	_, err := c.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
	if gone := new(types.QueueDoesNotExist); !errors.As(err, &gone) {
		t.Fatal(err)
	}
}

func TestSameQueueAgainIsThatQueueAndAnotherIsRefused(t *testing.T) {
	c, ctx, name := connect(), within(t), broker.Name()
	make := func(delay string) (*sqs.CreateQueueOutput, error) {
		with := attributes{"DelaySeconds": delay}
		return c.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: with})
	}
	equal(t, *must(make("1"))(t).QueueUrl, *must(make("1"))(t).QueueUrl)
	_, err := make("2")
	if exists := new(types.QueueNameExists); !errors.As(err, &exists) {
		t.Fatal(err)
	}
}

func TestWrongNamesAreRefused(t *testing.T) {
	for _, name := range []string{"a b", "a.b", strings.Repeat("x", 81), "q.fifo"} {
		_, err := connect().CreateQueue(within(t), &sqs.CreateQueueInput{QueueName: &name})
		refused(t, err, "InvalidParameterValue")
	}
}

func TestQueuesAreListedInPages(t *testing.T) {
	c, ctx, prefix := connect(), within(t), broker.Name()
	var made, listed []string
	for _, n := range broker.Numbers(0, 5) {
		input := &sqs.CreateQueueInput{QueueName: aws.String(prefix + n)}
		made = append(made, *must(c.CreateQueue(ctx, input))(t).QueueUrl)
	}
	input := &sqs.ListQueuesInput{QueueNamePrefix: &prefix, MaxResults: aws.Int32(2)}
	for pages := sqs.NewListQueuesPaginator(c, input); pages.HasMorePages(); {
		page := must(pages.NextPage(ctx))(t)
		if len(page.QueueUrls) > 2 {
			t.Fatal(page.QueueUrls)
		}
		listed = append(listed, page.QueueUrls...)
	}
	equalAll(t, listed, made)
}

func TestAttributesAreSetAndTold(t *testing.T) {
	c, ctx := connect(), within(t)
	queue := declareFIFO(t, c)
	wanted := attributes{
		"DelaySeconds": "7", "MaximumMessageSize": "2048", "MessageRetentionPeriod": "60",
		"ReceiveMessageWaitTimeSeconds": "3", "VisibilityTimeout": "40",
		"ContentBasedDeduplication": "false", "DeduplicationScope": "messageGroup",
		"FifoThroughputLimit": "perMessageGroupId", "KmsMasterKeyId": "alias/mine",
		"Policy":             `{"Version":"2012-10-17","Statement":[]}`,
		"RedriveAllowPolicy": `{"redrivePermission":"denyAll"}`,
	}
	must(c.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: queue, Attributes: wanted}))(t)
	all := []types.QueueAttributeName{types.QueueAttributeNameAll}
	have := must(c.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: queue, AttributeNames: all}))(t)
	for name, value := range wanted {
		equal(t, have.Attributes[name], value)
	}
	for name, code := range map[string]string{
		"DelaySeconds": "InvalidAttributeValue", "QueueArn": "InvalidAttributeName",
		"NoSuchThing": "InvalidAttributeName",
	} {
		wrong := &sqs.SetQueueAttributesInput{QueueUrl: queue, Attributes: attributes{name: "x"}}
		_, err := c.SetQueueAttributes(ctx, wrong)
		refused(t, err, code)
	}
}

func TestTags(t *testing.T) {
	c, ctx := connect(), within(t)
	name := broker.Name()
	input := &sqs.CreateQueueInput{QueueName: &name, Tags: attributes{"team": "a", "cost": "1 €"}}
	queue := must(c.CreateQueue(ctx, input))(t).QueueUrl
	must(c.TagQueue(ctx, &sqs.TagQueueInput{QueueUrl: queue, Tags: attributes{"team": "b"}}))(t)
	must(c.UntagQueue(ctx, &sqs.UntagQueueInput{QueueUrl: queue, TagKeys: []string{"cost"}}))(t)
	have := must(c.ListQueueTags(ctx, &sqs.ListQueueTagsInput{QueueUrl: queue}))(t).Tags
	equal(t, len(have), 1)
	equal(t, have["team"], "b")
}

func TestPermissions(t *testing.T) {
	c, ctx := connect(), within(t)
	queue := declare(t, c, nil)
	add := func(label string, actions ...string) error {
		_, err := c.AddPermission(ctx, &sqs.AddPermissionInput{
			QueueUrl: queue, Label: &label, Actions: actions, AWSAccountIds: []string{"111122223333"},
		})
		return err
	}
	if err := add("one", "SendMessage"); err != nil {
		t.Fatal(err)
	}
	if policy := attribute(t, c, queue, "Policy"); !strings.Contains(policy, `"Sid":"one"`) {
		t.Fatal(policy)
	}
	refused(t, add("one", "SendMessage"), "InvalidParameterValue")
	over := new(types.OverLimit)
	if err := add("many", slices.Repeat([]string{"*"}, 8)...); !errors.As(err, &over) {
		t.Fatal(err)
	}
	must(c.RemovePermission(ctx, &sqs.RemovePermissionInput{QueueUrl: queue, Label: aws.String("one")}))(t)
	equal(t, attribute(t, c, queue, "Policy"), "")
}

func TestKeyOfTwelveDigitsIsAnAccountOfItsOwn(t *testing.T) {
	c, other, ctx := connect(), clientOf(shared, "111122223333"), within(t)
	name := broker.Name()
	url := must(other.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name}))(t).QueueUrl
	_, err := c.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
	refused(t, err, "AWS.SimpleQueueService.NonExistentQueue")
	found := must(c.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{
		QueueName: &name, QueueOwnerAWSAccountId: aws.String("111122223333"),
	}))(t)
	equal(t, *found.QueueUrl, *url)
}

func TestQueueThatIsNotThereIsAnErrorOfItsOwn(t *testing.T) {
	c, ctx := connect(), within(t)
	queue := aws.String("http://" + shared.SQS + "/000000000000/" + broker.Name())
	_, sent := c.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue, MessageBody: queue})
	_, received := c.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue})
	_, deleted := c.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: queue, ReceiptHandle: queue})
	_, purged := c.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: queue})
	_, gone := c.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: queue})
	for _, err := range []error{sent, received, deleted, purged, gone} {
		missing := new(types.QueueDoesNotExist)
		if !errors.As(err, &missing) {
			t.Fatal(err)
		}
		equal(t, missing.ErrorMessage(), "The specified queue does not exist.")
	}
}
