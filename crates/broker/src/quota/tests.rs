use super::*;
use std::{collections::BTreeMap, sync::Arc};
use tramline_store::MemoryStore;
use tramline_testkit::FakeClock;

const KIND: QuotaKind = QuotaKind::ProducedBytes;

fn named(name: &str) -> Option<QuotaName> {
    Some(QuotaName::Named(name.to_owned()))
}

fn any() -> Option<QuotaName> {
    Some(QuotaName::Default)
}

fn client<'a>(user: &'a str, client_id: &'a str) -> QuotaClient<'a> {
    QuotaClient { user, client_id }
}

#[test]
fn most_specific_limit_applies_in_kafkas_order() {
    let steps = [
        (named("u"), named("c")),
        (named("u"), any()),
        (named("u"), None),
        (any(), named("c")),
        (any(), any()),
        (any(), None),
        (None, named("c")),
        (None, any()),
    ];
    // From the least specific on, each new rule takes over; other kinds do not matter.
    let mut rules = Rules::default();
    for (rank, (user, client_id)) in steps.iter().enumerate().rev() {
        let entity = QuotaEntity { user: user.clone(), client_id: client_id.clone() };
        let rate = f64::from(u8::try_from(rank).unwrap()) + 1.0;
        rules.set(entity.clone(), BTreeMap::from([(QuotaKind::FetchedBytes, 99.0)]));
        let before = rules.resolve(KIND, client("u", "c")).map(|(_, rate)| rate);
        assert_eq!(before, (rank < 7).then_some(rate + 1.0));
        rules.set(entity, BTreeMap::from([(KIND, rate)]));
        assert_eq!(rules.resolve(KIND, client("u", "c")).unwrap().1, rate);
    }
    assert_eq!(rules.resolve(KIND, client("x", "c")).unwrap().1, 4.0);
    assert_eq!(rules.resolve(KIND, client("x", "y")).unwrap().1, 5.0);
    assert_eq!(rules.resolve(KIND, client("u", "y")).unwrap().1, 2.0);
    assert!(!rules.limits(QuotaKind::RequestTime));
}

#[test]
fn clients_of_a_default_have_one_bucket_each_and_those_of_a_user_share_one() {
    let clock = FakeClock::new();
    let quotas = Quotas::load(&MemoryStore::new()).unwrap();
    let charge = |user, client_id, amount| {
        let now = tramline_types::Clock::monotonic(&clock);
        quotas.charge(KIND, client(user, client_id), amount, now)
    };
    let rates = |rate| BTreeMap::from([(KIND, rate)]);
    assert_eq!(charge("u", "a", 1e9), Duration::ZERO, "there is no limit");
    quotas.rules.write().set(QuotaEntity { user: None, client_id: any() }, rates(100.0));
    quotas.rules.write().set(QuotaEntity { user: named("v"), client_id: None }, rates(100.0));
    assert_eq!(charge("u", "a", 1000.0), Duration::ZERO, "a burst of ten seconds");
    assert_eq!(charge("u", "a", 200.0), Duration::from_secs(2));
    assert_eq!(charge("u", "b", 1000.0), Duration::ZERO);
    assert_eq!(charge("v", "a", 1000.0), Duration::ZERO);
    assert_eq!(charge("v", "b", 50.0), Duration::from_millis(500));
    clock.advance(Duration::from_secs(3));
    assert_eq!(charge("u", "a", 100.0), Duration::ZERO);
    assert_eq!(charge("u", "a", 100.0), Duration::from_secs(1));
    clock.advance(Duration::from_secs(3600));
    assert_eq!(charge("u", "a", 1000.0), Duration::ZERO);
    assert_eq!(charge("u", "a", 100.0), Duration::from_secs(1), "no more than one burst is saved");
}

#[test]
fn request_time_is_in_percent_of_one_thread() {
    let quotas = Quotas::load(&MemoryStore::new()).unwrap();
    let rates = BTreeMap::from([(QuotaKind::RequestTime, 50.0)]);
    quotas.rules.write().set(QuotaEntity { user: any(), client_id: None }, rates);
    let now = Monotonic::default();
    let charge = |seconds| quotas.charge(QuotaKind::RequestTime, client("u", "c"), seconds, now);
    assert_eq!(charge(5.0), Duration::ZERO);
    assert_eq!(charge(1.0), Duration::from_secs(2));
}

#[test]
fn holders_are_forgotten_at_the_limit_but_not_their_debts() {
    let quotas = Quotas::load(&MemoryStore::new()).unwrap();
    let rates = BTreeMap::from([(KIND, 1.0)]);
    quotas.rules.write().set(QuotaEntity { user: None, client_id: any() }, rates);
    let now = Monotonic::default();
    assert_eq!(quotas.charge(KIND, client("", "debtor"), 60.0, now), Duration::from_secs(50));
    for n in 0..3 * tramline_types::limits::QUOTA_HOLDERS_MAX {
        quotas.charge(KIND, client("", &n.to_string()), 1.0, now);
    }
    assert_eq!(quotas.charge(KIND, client("", "debtor"), 0.0, now), Duration::from_secs(50));
}

#[tokio::test]
async fn limits_are_durable_filtered_and_taken_away() {
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(FakeClock::new());
    let start = async |store: Arc<MemoryStore>| {
        Broker::start(store, clock.clone(), crate::Options::default()).await.unwrap()
    };
    let broker = start(store.clone()).await;
    let both = QuotaEntity { user: named("u"), client_id: any() };
    let alone = QuotaEntity { user: named("u"), client_id: None };
    let rate = [(KIND, Some(5.0))];
    broker.alter_quotas(both.clone(), &rate, Mode::ValidateOnly).await.unwrap();
    assert!(!broker.is_limited(KIND));
    broker.alter_quotas(both.clone(), &rate, Mode::Apply).await.unwrap();
    broker.alter_quotas(alone.clone(), &rate, Mode::Apply).await.unwrap();
    assert!(broker.is_limited(KIND));
    broker.close().await;
    let broker = start(Arc::new(store.reopen().start())).await;
    assert_eq!(broker.quota_burst(KIND, client("u", "c")), Some(50));
    let user = QuotaFilter::User(QuotaMatch::Named("u".to_owned()));
    let entities = |filters: &[QuotaFilter], strict| {
        let found = broker.describe_quotas(filters, strict);
        found.into_iter().map(|(entity, _)| entity).collect::<Vec<_>>()
    };
    assert_eq!(entities(&[], false).len(), 2);
    assert_eq!(entities(&[], true).len(), 0);
    assert_eq!(entities(std::slice::from_ref(&user), true), std::slice::from_ref(&alone));
    let any_client = QuotaFilter::ClientId(QuotaMatch::Any);
    assert_eq!(entities(&[user, any_client], true), std::slice::from_ref(&both));
    assert_eq!(entities(&[QuotaFilter::User(QuotaMatch::Default)], false).len(), 0);
    for entity in [both, alone] {
        broker.alter_quotas(entity, &[(KIND, None)], Mode::Apply).await.unwrap();
    }
    assert!(!broker.is_limited(KIND));
    assert!(entities(&[], false).is_empty());
}
