//! Creating, changing and deleting topics, and their settings.

use crate::support::{Client, Node, batch_of, new_topic, text};
use tramline_types::TopicName;
use tramline_wire::kafka::{
    create_partitions::{
        CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
    },
    create_topics::{CreatableReplicaAssignment, CreatableTopic, CreateTopicsRequest},
    delete_topics::{DeleteTopicState, DeleteTopicsRequest},
    describe_configs::{
        DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    },
    incremental_alter_configs::{
        AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
    },
};

async fn create(client: &mut Client, request: &CreateTopicsRequest) -> i16 {
    client.call(7, request).await.topics[0].error_code
}

#[tokio::test]
async fn replication_factor_above_the_real_number_of_copies_is_refused() {
    let node = Node::start().await;
    let mut client = node.client().await;
    for (factor, code) in [(3, 38), (2, 38), (0, 38), (1, 0)] {
        let mut request = new_topic("t", 1, &[]);
        request.topics[0].replication_factor = factor;
        assert_eq!(create(&mut client, &request).await, code, "{factor}");
    }
}

#[tokio::test]
async fn created_topic_is_described_in_the_answer() {
    let node = Node::start().await;
    let mut client = node.client().await;
    for version in 2..=7 {
        let name = format!("t{version}");
        let request = new_topic(&name, 3, &[("retention.ms", "1000")]);
        let answer = client.call(version, &request).await.topics.remove(0);
        assert_eq!(answer.error_code, 0, "v{version}: {:?}", answer.error_message);
        if version >= 5 {
            assert_eq!((answer.num_partitions, answer.replication_factor), (3, 1));
            let configs = answer.configs.unwrap();
            let retention = configs.iter().find(|config| config.name == "retention.ms").unwrap();
            assert_eq!(retention.value.as_ref().unwrap(), &"1000");
            assert_eq!(retention.config_source, 1);
        }
        let topic = node.broker.topic(&TopicName::parse(&name).unwrap()).unwrap();
        assert!(version < 7 || answer.topic_id == topic.id().0);
    }
}

#[tokio::test]
async fn wrong_topics_are_refused_each_with_its_code() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("taken", 1, &[]).await;
    let cases = [
        (new_topic("taken", 1, &[]), 36),
        (new_topic("a b", 1, &[]), 17),
        (new_topic("", 1, &[]), 17),
        (new_topic("t", 0, &[]), 37),
        (new_topic("t", -2, &[]), 37),
        (new_topic("t", 1_000_000, &[]), 37),
        (new_topic("t", 1, &[("no.such", "1")]), 40),
        (new_topic("t", 1, &[("retention.ms", "soon")]), 40),
    ];
    for (request, code) in cases {
        assert_eq!(create(&mut client, &request).await, code, "{request:?}");
    }
    let mut twice = new_topic("t", 1, &[]);
    twice.topics.push(twice.topics[0].clone());
    let answer = client.call(7, &twice).await;
    assert!(answer.topics.iter().all(|topic| topic.error_code == 42));
    let validate = CreateTopicsRequest { validate_only: true, ..new_topic("t", 1, &[]) };
    assert_eq!(create(&mut client, &validate).await, 0);
    assert!(node.broker.topic(&TopicName::parse("t").unwrap()).is_err(), "only validated");
}

#[tokio::test]
async fn what_is_only_validated_has_a_bounded_answer() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("other", 1, &[]).await; // The first request of a connection must be small.
    let many = |n: usize| {
        let mut request = CreateTopicsRequest { validate_only: true, ..new_topic("t", 1, &[]) };
        let one = request.topics.remove(0);
        let named = |n| CreatableTopic { name: text(&format!("t-{n}")), ..one.clone() };
        request.topics = (0..n).map(named).collect();
        request
    };
    let answer = client.call(7, &many(10_000)).await;
    assert!(answer.topics.iter().all(|topic| topic.error_code == 0));
    let shown = answer.topics.iter().filter(|topic| topic.configs.is_some()).count();
    assert!((100..2000).contains(&shown), "{shown}");
    let refused = client.call(7, &many(10_001)).await;
    assert!(refused.topics.iter().all(|topic| topic.error_code == 44));
}

#[tokio::test]
async fn manual_assignment_must_name_this_broker_alone() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let assigned = |places: &[(i32, &[i32])]| {
        let mut request = new_topic("t", -1, &[]);
        request.topics[0].replication_factor = -1;
        let place = |(index, brokers): &(i32, &[i32])| CreatableReplicaAssignment {
            partition_index: *index,
            broker_ids: brokers.to_vec(),
        };
        request.topics[0].assignments = places.iter().map(place).collect();
        request
    };
    for wrong in [&[(0, &[1][..])][..], &[(0, &[0, 1][..])], &[(1, &[0][..])], &[(0, &[])]] {
        assert_eq!(create(&mut client, &assigned(wrong)).await, 39, "{wrong:?}");
    }
    let mut both = assigned(&[(0, &[0])]);
    both.topics[0].num_partitions = 1;
    assert_eq!(create(&mut client, &both).await, 42);
    assert_eq!(create(&mut client, &assigned(&[(1, &[0]), (0, &[0])])).await, 0);
}

#[tokio::test]
async fn topics_are_deleted_by_name_and_by_id() {
    let node = Node::start().await;
    let mut client = node.client().await;
    for name in ["a", "b"] {
        client.create(name, 1, &[]).await;
    }
    let by_name = DeleteTopicsRequest {
        topic_names: vec![text("a"), text("none")],
        ..DeleteTopicsRequest::default()
    };
    let answer = client.call(5, &by_name).await;
    assert_eq!([answer.responses[0].error_code, answer.responses[1].error_code], [0, 3]);
    let id = node.broker.topic(&TopicName::parse("b").unwrap()).unwrap().id().0;
    let state = |name: Option<&str>, topic_id| DeleteTopicState { name: name.map(text), topic_id };
    let by_id = DeleteTopicsRequest {
        topics: vec![
            state(None, id),
            state(None, [3; 16]),
            state(Some("b"), id),
            state(None, [0; 16]),
        ],
        ..DeleteTopicsRequest::default()
    };
    let answer = client.call(6, &by_id).await;
    let codes: Vec<_> = answer.responses.iter().map(|response| response.error_code).collect();
    assert_eq!(codes, [0, 100, 42, 42]);
    assert_eq!(answer.responses[0].name.as_ref().unwrap(), &"b");
    assert!(node.broker.topics().is_empty());
    assert_eq!(client.produce(12, "a", batch_of(1)).await.error_code, 3);
}

#[tokio::test]
async fn partitions_can_only_be_added() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 2, &[]).await;
    let to = |name: &str, count, assignments: Option<Vec<i32>>| CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: text(name),
            count,
            assignments: assignments.map(|brokers| {
                let one = |id| CreatePartitionsAssignment { broker_ids: vec![id] };
                brokers.into_iter().map(one).collect()
            }),
        }],
        ..CreatePartitionsRequest::default()
    };
    let cases = [
        (to("none", 3, None), 3),
        (to("t", 2, None), 37),
        (to("t", 1, None), 37),
        (to("t", -1, None), 37),
        (to("t", 4, Some(vec![0])), 39),
        (to("t", 3, Some(vec![1])), 39),
        (to("t", 3, Some(vec![0])), 0),
        (to("t", 5, None), 0),
    ];
    for (request, code) in cases {
        for version in 3..=3 {
            let answer = client.call(version, &request).await;
            assert_eq!(answer.results.len(), 1);
            assert_eq!(answer.results[0].error_code, code, "{request:?}");
        }
    }
    let topic = node.broker.topic(&TopicName::parse("t").unwrap()).unwrap();
    assert_eq!(topic.partition_count(), 5);
}

async fn describe(
    client: &mut Client,
    kind: i8,
    name: &str,
) -> (i16, Vec<DescribeConfigsResourceResult>) {
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: text(name),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: true,
        include_documentation: true,
    };
    let result = client.call(4, &request).await.results.remove(0);
    (result.error_code, result.configs)
}

#[tokio::test]
async fn every_setting_is_described_with_default_source_and_doc() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[("retention.ms", "1000")]).await;
    for (kind, name) in [(2, "t"), (4, "0")] {
        let (code, configs) = describe(&mut client, kind, name).await;
        assert_eq!(code, 0);
        assert!(configs.len() >= 10, "{name} has only {}", configs.len());
        for config in &configs {
            // Kafka's null is a value that nobody gives.
            let last = config.synonyms.last().map(|last| last.source);
            assert_eq!(last.unwrap_or(5), 5, "{}: the default comes last", config.name);
            assert_eq!(config.value.is_some(), last.is_some(), "{}", config.name);
            assert!(config.config_type > 0);
            assert!(!config.documentation.as_ref().unwrap().is_empty(), "{}", config.name);
        }
    }
    let (_, configs) = describe(&mut client, 2, "t").await;
    let retention = configs.iter().find(|config| config.name == "retention.ms").unwrap();
    assert_eq!((retention.config_source, retention.value.as_ref().unwrap().as_str()), (1, "1000"));
    let synonyms: Vec<_> = retention.synonyms.iter().map(|s| (s.name.as_str(), s.source)).collect();
    assert_eq!(synonyms, [("retention.ms", 1), ("log.retention.ms", 5)]);

    for (kind, name, code) in [(2, "none", 3), (4, "7", 42), (4, "x", 42), (8, "0", 42)] {
        assert_eq!(describe(&mut client, kind, name).await.0, code, "{kind} {name}");
    }
}

#[tokio::test]
async fn settings_change_all_or_none() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    let alter = |kind, name: &str, configs: &[(&str, i8, Option<&str>)]| {
        let config = |(name, config_operation, value): &(&str, i8, Option<&str>)| AlterableConfig {
            name: text(name),
            config_operation: *config_operation,
            value: value.map(text),
        };
        let resource = AlterConfigsResource {
            resource_type: kind,
            resource_name: text(name),
            configs: configs.iter().map(config).collect(),
        };
        IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false }
    };
    let cases = [
        (
            alter(
                2,
                "t",
                &[("retention.ms", 0, Some("5")), ("max.message.bytes", 0, Some("9000"))],
            ),
            0,
        ),
        (alter(2, "t", &[("retention.ms", 0, Some("7")), ("no.such", 0, Some("1"))]), 40),
        (alter(2, "t", &[("retention.ms", 0, None)]), 40),
        (alter(2, "t", &[("retention.ms", 9, Some("1"))]), 42),
        (alter(2, "t", &[("retention.ms", 0, Some("1")), ("retention.ms", 1, None)]), 42),
        (alter(2, "none", &[("retention.ms", 0, Some("1"))]), 3),
        (alter(4, "7", &[("num.partitions", 0, Some("1"))]), 42),
        (alter(2, "t", &[("max.message.bytes", 1, None)]), 0),
    ];
    for (request, code) in cases {
        let answer = client.call(1, &request).await;
        assert_eq!(answer.responses[0].error_code, code, "{request:?}");
    }
    let (_, configs) = describe(&mut client, 2, "t").await;
    let value = |name: &str| {
        let config = configs.iter().find(|config| config.name == name).unwrap();
        (config.value.clone().unwrap().to_string(), config.config_source)
    };
    assert_eq!(value("retention.ms"), ("5".to_owned(), 1));
    assert_eq!(value("max.message.bytes").1, 5, "reset to the default");
}
