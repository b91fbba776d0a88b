//! GetCallerIdentity, of STS: which account a client's key means.

use crate::{Context, caller::Caller, error::Error};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
pub(crate) struct Request {}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    arn: String,
    user_id: String,
    account: String,
}

pub(crate) async fn get(_: &Context, caller: &Caller, _: Request) -> Result<Response, Error> {
    let account = caller.account.clone();
    Ok(Response { arn: format!("arn:aws:iam::{account}:root"), user_id: account.clone(), account })
}
