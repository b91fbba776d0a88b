"""Queues: their names, URLs, attributes, tags and permissions."""

import json
import time
import urllib.parse

import pytest
from sqs_support import attribute, client_of, refused


def test_a_queue_is_made_found_listed_and_deleted(sqs, name):
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    assert url.endswith(f"/000000000000/{name}")
    assert sqs.get_queue_url(QueueName=name)["QueueUrl"] == url
    assert sqs.list_queues(QueueNamePrefix=name)["QueueUrls"] == [url]
    sqs.delete_queue(QueueUrl=url)
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix=name)
    message = refused(
        lambda: sqs.get_queue_url(QueueName=name), "AWS.SimpleQueueService.NonExistentQueue"
    )
    assert message == "The specified queue does not exist."


def test_missing_queues_are_an_exception_of_their_own(sqs, queue):
    for call in [sqs.receive_message, sqs.purge_queue, sqs.get_queue_attributes, sqs.delete_queue]:
        with pytest.raises(sqs.exceptions.QueueDoesNotExist):
            call(QueueUrl=queue + "-not")


def test_the_same_queue_again_is_that_queue_and_another_is_refused(sqs, name):
    wanted = {"DelaySeconds": "1", "VisibilityTimeout": "31"}
    url = sqs.create_queue(QueueName=name, Attributes=wanted)["QueueUrl"]
    assert sqs.create_queue(QueueName=name, Attributes=wanted)["QueueUrl"] == url
    assert sqs.create_queue(QueueName=name)["QueueUrl"] == url
    message = refused(
        lambda: sqs.create_queue(QueueName=name, Attributes={"DelaySeconds": "2"}),
        "QueueAlreadyExists",
    )
    assert "DelaySeconds" in message
    with pytest.raises(sqs.exceptions.QueueNameExists):
        sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "30"})


@pytest.mark.parametrize("name", ["", "a b", "a.b", "x" * 81, "q.fifo", "ä"])
def test_wrong_names_are_refused(sqs, name):
    refused(lambda: sqs.create_queue(QueueName=name), "InvalidParameterValue")


def test_fifo_queues_end_in_fifo(sqs):
    refused(
        lambda: sqs.create_queue(QueueName="plain", Attributes={"FifoQueue": "true"}),
        "InvalidParameterValue",
    )


def test_the_url_has_the_host_that_the_client_called(broker, sqs, name):
    port = broker.sqs.rsplit(":", 1)[1]
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    assert url == f"http://{broker.sqs}/000000000000/{name}"
    broker_by_name = type("Named", (), {"sqs": f"localhost:{port}"})
    other = client_of(broker_by_name)
    assert other.get_queue_url(QueueName=name)["QueueUrl"].startswith(f"http://localhost:{port}/")
    # Whatever host a URL names, its path is what counts.
    path = urllib.parse.urlsplit(url).path
    other.send_message(QueueUrl=f"https://sqs.eu-west-1.amazonaws.com{path}", MessageBody="x")
    assert attribute(sqs, url, "ApproximateNumberOfMessages") == "1"


def test_defaults(sqs, queue):
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    now = time.time()
    for stamp in ("CreatedTimestamp", "LastModifiedTimestamp"):
        assert abs(int(attributes.pop(stamp)) - now) < 60
    arn = attributes.pop("QueueArn")
    assert arn == "arn:aws:sqs:us-east-1:000000000000:" + queue.rsplit("/", 1)[1]
    assert attributes == {
        "ApproximateNumberOfMessages": "0",
        "ApproximateNumberOfMessagesDelayed": "0",
        "ApproximateNumberOfMessagesNotVisible": "0",
        "DelaySeconds": "0",
        "MaximumMessageSize": "1048576",
        "MessageRetentionPeriod": "345600",
        "ReceiveMessageWaitTimeSeconds": "0",
        "SqsManagedSseEnabled": "true",
        "VisibilityTimeout": "30",
    }


def test_only_what_is_asked_for_is_told(sqs, queue):
    assert "Attributes" not in sqs.get_queue_attributes(QueueUrl=queue)
    names = ["DelaySeconds", "Policy"]
    answer = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)
    assert answer["Attributes"] == {"DelaySeconds": "0"}
    refused(
        lambda: sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["Nothing"]),
        "InvalidAttributeName",
    )


def test_attributes_change(sqs, queue):
    policy = json.dumps({"Version": "2012-10-17", "Statement": []})
    wanted = {
        "DelaySeconds": "7",
        "MaximumMessageSize": "2048",
        "MessageRetentionPeriod": "60",
        "ReceiveMessageWaitTimeSeconds": "3",
        "VisibilityTimeout": "0",
        "Policy": policy,
        "KmsMasterKeyId": "alias/mine",
        "KmsDataKeyReusePeriodSeconds": "60",
    }
    sqs.set_queue_attributes(QueueUrl=queue, Attributes=wanted)
    have = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert {name: have[name] for name in wanted} == wanted
    assert have["SqsManagedSseEnabled"] == "false"
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": "", "SqsManagedSseEnabled": "true"})
    have = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert "Policy" not in have and "KmsMasterKeyId" not in have


@pytest.mark.parametrize(
    "name, value, code",
    [
        ("DelaySeconds", "901", "InvalidAttributeValue"),
        ("DelaySeconds", "x", "InvalidAttributeValue"),
        ("MaximumMessageSize", "1023", "InvalidAttributeValue"),
        ("MaximumMessageSize", "1048577", "InvalidAttributeValue"),
        ("MessageRetentionPeriod", "59", "InvalidAttributeValue"),
        ("ReceiveMessageWaitTimeSeconds", "21", "InvalidAttributeValue"),
        ("VisibilityTimeout", "43201", "InvalidAttributeValue"),
        ("Policy", "[", "InvalidAttributeValue"),
        ("ContentBasedDeduplication", "true", "InvalidAttributeName"),
        ("QueueArn", "x", "InvalidAttributeName"),
        ("NoSuchThing", "x", "InvalidAttributeName"),
    ],
)
def test_wrong_attributes_are_refused(sqs, queue, name, value, code):
    refused(lambda: sqs.set_queue_attributes(QueueUrl=queue, Attributes={name: value}), code)
    refused(lambda: sqs.create_queue(QueueName="w-" + name, Attributes={name: value}), code)


def test_queues_are_listed_in_pages(sqs, new_queue, name):
    made = []
    for n in range(5):
        made.append(sqs.create_queue(QueueName=f"{name}-{n}")["QueueUrl"])
    listed = []
    options = {}
    while True:
        page = sqs.list_queues(QueueNamePrefix=name, MaxResults=2, **options)
        assert len(page["QueueUrls"]) <= 2
        listed += page["QueueUrls"]
        if "NextToken" not in page:
            break
        options = {"NextToken": page["NextToken"]}
    assert listed == made
    assert "NextToken" not in sqs.list_queues(QueueNamePrefix=name)
    for url in made:
        sqs.delete_queue(QueueUrl=url)
    refused(lambda: sqs.list_queues(MaxResults=1001), "InvalidParameterValue")


def test_tags(sqs, new_queue):
    url = new_queue(tags={"team": "a", "cost": "1 €"})
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"team": "a", "cost": "1 €"}
    sqs.tag_queue(QueueUrl=url, Tags={"team": "b", "more": ""})
    sqs.untag_queue(QueueUrl=url, TagKeys=["cost", "never"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"team": "b", "more": ""}
    with_51 = {str(n): "" for n in range(51)}
    refused(lambda: sqs.tag_queue(QueueUrl=url, Tags=with_51), "InvalidParameterValue")
    refused(lambda: sqs.tag_queue(QueueUrl=url, Tags={}), "MissingParameter")
    refused(lambda: sqs.untag_queue(QueueUrl=url, TagKeys=[]), "InvalidParameterValue")
    sqs.untag_queue(QueueUrl=url, TagKeys=["team", "more"])
    assert not sqs.list_queue_tags(QueueUrl=url).get("Tags")


def test_permissions_are_statements_of_the_policy(sqs, queue):
    sqs.add_permission(
        QueueUrl=queue, Label="one", AWSAccountIds=["111122223333"], Actions=["SendMessage"]
    )
    options = {"AWSAccountIds": ["111122223333", "444455556666"], "Actions": ["SendMessage", "*"]}
    sqs.add_permission(QueueUrl=queue, Label="two", **options)
    refused(
        lambda: sqs.add_permission(QueueUrl=queue, Label="two", **options), "InvalidParameterValue"
    )
    one, two = json.loads(attribute(sqs, queue, "Policy"))["Statement"]
    assert (one["Sid"], one["Effect"], one["Action"]) == ("one", "Allow", "SQS:SendMessage")
    assert one["Principal"]["AWS"] == "arn:aws:iam::111122223333:root"
    assert two["Action"] == ["SQS:SendMessage", "SQS:*"] and len(two["Principal"]["AWS"]) == 2
    sqs.remove_permission(QueueUrl=queue, Label="one")
    refused(lambda: sqs.remove_permission(QueueUrl=queue, Label="one"), "InvalidParameterValue")
    sqs.remove_permission(QueueUrl=queue, Label="two")
    answer = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["Policy"])
    assert not answer.get("Attributes")


def test_wrong_permissions_are_refused(sqs, queue):
    def add(label="l", actions=("SendMessage",)):
        return lambda: sqs.add_permission(
            QueueUrl=queue, Label=label, AWSAccountIds=["111122223333"], Actions=list(actions)
        )

    refused(add(actions=["Send"]), "InvalidParameterValue")
    refused(add(actions=["SendMessage"] * 8), "OverLimit", 403)
    refused(add(label="a b"), "InvalidParameterValue")


def test_each_account_has_its_own_queues(broker, sqs, name):
    other = client_of(broker, key="111122223333")
    url = other.create_queue(QueueName=name)["QueueUrl"]
    assert url.endswith(f"/111122223333/{name}")
    refused(lambda: sqs.get_queue_url(QueueName=name))
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix=name)
    found = sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId="111122223333")
    assert found["QueueUrl"] == url
    other.delete_queue(QueueUrl=url)


def test_who_am_i(broker):
    sts = client_of(broker, key="111122223333", service="sts")
    identity = sts.get_caller_identity()
    assert identity["Account"] == "111122223333"
    assert identity["Arn"] == "arn:aws:iam::111122223333:root"


def test_arns_have_the_region_that_the_client_signs_for(broker, queue):
    other = client_of(broker, region="eu-central-1")
    assert attribute(other, queue, "QueueArn").startswith("arn:aws:sqs:eu-central-1:")


def test_the_windows_after_deletion_and_purge(start_broker, name):
    sqs = client_of(start_broker({}))
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    sqs.purge_queue(QueueUrl=url)
    refused(
        lambda: sqs.purge_queue(QueueUrl=url), "AWS.SimpleQueueService.PurgeQueueInProgress", 403
    )
    sqs.delete_queue(QueueUrl=url)
    refused(
        lambda: sqs.create_queue(QueueName=name), "AWS.SimpleQueueService.QueueDeletedRecently"
    )
