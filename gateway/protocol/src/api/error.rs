//! Errors as clients read them: Meilisearch's form, and one table of code, type and status.
//!
//! Invariant: every code of the gateway's own errors is in the table below, with the status and type that Meilisearch
//! gives it (source: Meilisearch's error reference) or, for `miroir_*`, its own. A node's refusal is passed on
//! without reserved fields.

use std::borrow::Cow;

use http::StatusCode;
use serde_json::json;

use crate::api::embedder_templates::unguarded;

/// The party that has to act on an error, as Meilisearch names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    InvalidRequest,
    Internal,
    Auth,
    System,
}

impl ErrorKind {
    /// The `type` member of the response.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::Internal => "internal",
            Self::Auth => "auth",
            Self::System => "system",
        }
    }
}

macro_rules! codes {
    ($($variant:ident = $name:literal, $kind:ident, $status:literal;)*) => {
        /// The codes of the gateway's own errors.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code { $($variant,)* }

        impl Code {
            /// Every code, for documentation and tests.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// Code, type and HTTP status.
            #[must_use]
            pub fn facts(self) -> (&'static str, ErrorKind, u16) {
                match self { $(Self::$variant => ($name, ErrorKind::$kind, $status),)* }
            }

            /// The code with this name.
            #[must_use]
            pub fn by_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

codes! {
    ApiKeyAlreadyExists = "api_key_already_exists", InvalidRequest, 409;
    ApiKeyNotFound = "api_key_not_found", InvalidRequest, 404;
    BadRequest = "bad_request", InvalidRequest, 400;
    BatchNotFound = "batch_not_found", InvalidRequest, 404;
    DocumentNotFound = "document_not_found", InvalidRequest, 404;
    FeatureNotEnabled = "feature_not_enabled", InvalidRequest, 400;
    ImmutableApiKeyActions = "immutable_api_key_actions", InvalidRequest, 400;
    ImmutableApiKeyCreatedAt = "immutable_api_key_created_at", InvalidRequest, 400;
    ImmutableApiKeyExpiresAt = "immutable_api_key_expires_at", InvalidRequest, 400;
    ImmutableApiKeyIndexes = "immutable_api_key_indexes", InvalidRequest, 400;
    ImmutableApiKeyUid = "immutable_api_key_uid", InvalidRequest, 400;
    ImmutableApiKeyUpdatedAt = "immutable_api_key_updated_at", InvalidRequest, 400;
    ImmutableIndexCreatedAt = "immutable_index_created_at", InvalidRequest, 400;
    ImmutableIndexUpdatedAt = "immutable_index_updated_at", InvalidRequest, 400;
    ImmutableWebhook = "immutable_webhook", InvalidRequest, 400;
    ImmutableWebhookIsEditable = "immutable_webhook_is_editable", InvalidRequest, 400;
    ImmutableWebhookUuid = "immutable_webhook_uuid", InvalidRequest, 400;
    IndexAlreadyExists = "index_already_exists", InvalidRequest, 409;
    IndexNotFound = "index_not_found", InvalidRequest, 404;
    IndexPrimaryKeyAlreadyExists = "index_primary_key_already_exists", InvalidRequest, 400;
    IndexPrimaryKeyMultipleCandidates = "index_primary_key_multiple_candidates_found", InvalidRequest, 400;
    IndexPrimaryKeyNoCandidate = "index_primary_key_no_candidate_found", InvalidRequest, 400;
    IndexScopedApiKeyWithGlobalAction = "index_scoped_api_key_with_global_action", InvalidRequest, 400;
    Internal = "internal", Internal, 500;
    InvalidApiKey = "invalid_api_key", Auth, 403;
    InvalidApiKeyActions = "invalid_api_key_actions", InvalidRequest, 400;
    InvalidApiKeyDescription = "invalid_api_key_description", InvalidRequest, 400;
    InvalidApiKeyExpiresAt = "invalid_api_key_expires_at", InvalidRequest, 400;
    InvalidApiKeyIndexes = "invalid_api_key_indexes", InvalidRequest, 400;
    InvalidApiKeyLimit = "invalid_api_key_limit", InvalidRequest, 400;
    InvalidApiKeyName = "invalid_api_key_name", InvalidRequest, 400;
    InvalidApiKeyOffset = "invalid_api_key_offset", InvalidRequest, 400;
    InvalidApiKeyUid = "invalid_api_key_uid", InvalidRequest, 400;
    InvalidBatchUids = "invalid_batch_uids", InvalidRequest, 400;
    InvalidContentType = "invalid_content_type", InvalidRequest, 415;
    InvalidDocumentCsvDelimiter = "invalid_document_csv_delimiter", InvalidRequest, 400;
    InvalidDocumentId = "invalid_document_id", InvalidRequest, 400;
    InvalidDocumentLimit = "invalid_document_limit", InvalidRequest, 400;
    InvalidDocumentOffset = "invalid_document_offset", InvalidRequest, 400;
    InvalidDocumentRetrieveVectors = "invalid_document_retrieve_vectors", InvalidRequest, 400;
    InvalidIndexLimit = "invalid_index_limit", InvalidRequest, 400;
    InvalidIndexOffset = "invalid_index_offset", InvalidRequest, 400;
    InvalidIndexPrimaryKey = "invalid_index_primary_key", InvalidRequest, 400;
    InvalidIndexUid = "invalid_index_uid", InvalidRequest, 400;
    InvalidNetworkLeader = "invalid_network_leader", InvalidRequest, 400;
    InvalidNetworkRemotes = "invalid_network_remotes", InvalidRequest, 400;
    InvalidNetworkSearchApiKey = "invalid_network_search_api_key", InvalidRequest, 400;
    InvalidNetworkSelf = "invalid_network_self", InvalidRequest, 400;
    InvalidNetworkShards = "invalid_network_shards", InvalidRequest, 400;
    InvalidNetworkUrl = "invalid_network_url", InvalidRequest, 400;
    InvalidNetworkWriteApiKey = "invalid_network_write_api_key", InvalidRequest, 400;
    InvalidSearchFacets = "invalid_search_facets", InvalidRequest, 400;
    InvalidSwapDuplicateIndexFound = "invalid_swap_duplicate_index_found", InvalidRequest, 400;
    InvalidSwapIndexes = "invalid_swap_indexes", InvalidRequest, 400;
    InvalidSwapRename = "invalid_swap_rename", InvalidRequest, 400;
    InvalidSkipCreation = "invalid_skip_creation", InvalidRequest, 400;
    InvalidTaskAfterEnqueuedAt = "invalid_task_after_enqueued_at", InvalidRequest, 400;
    InvalidTaskAfterFinishedAt = "invalid_task_after_finished_at", InvalidRequest, 400;
    InvalidTaskAfterStartedAt = "invalid_task_after_started_at", InvalidRequest, 400;
    InvalidTaskBeforeEnqueuedAt = "invalid_task_before_enqueued_at", InvalidRequest, 400;
    InvalidTaskBeforeFinishedAt = "invalid_task_before_finished_at", InvalidRequest, 400;
    InvalidTaskBeforeStartedAt = "invalid_task_before_started_at", InvalidRequest, 400;
    InvalidTaskCanceledBy = "invalid_task_canceled_by", InvalidRequest, 400;
    InvalidTaskFrom = "invalid_task_from", InvalidRequest, 400;
    InvalidTaskLimit = "invalid_task_limit", InvalidRequest, 400;
    InvalidTaskReverse = "invalid_task_reverse", InvalidRequest, 400;
    InvalidTaskStatuses = "invalid_task_statuses", InvalidRequest, 400;
    InvalidTaskTypes = "invalid_task_types", InvalidRequest, 400;
    InvalidTaskUids = "invalid_task_uids", InvalidRequest, 400;
    InvalidWebhookHeaders = "invalid_webhook_headers", InvalidRequest, 400;
    InvalidWebhookUrl = "invalid_webhook_url", InvalidRequest, 400;
    InvalidWebhookUuid = "invalid_webhook_uuid", InvalidRequest, 400;
    InvalidWebhooks = "invalid_webhooks", InvalidRequest, 400;
    MalformedPayload = "malformed_payload", InvalidRequest, 400;
    MissingApiKeyActions = "missing_api_key_actions", InvalidRequest, 400;
    MissingApiKeyExpiresAt = "missing_api_key_expires_at", InvalidRequest, 400;
    MissingApiKeyIndexes = "missing_api_key_indexes", InvalidRequest, 400;
    MissingAuthorizationHeader = "missing_authorization_header", Auth, 401;
    MissingContentType = "missing_content_type", InvalidRequest, 415;
    MissingDocumentId = "missing_document_id", InvalidRequest, 400;
    MissingIndexUid = "missing_index_uid", InvalidRequest, 400;
    MissingMasterKey = "missing_master_key", Auth, 401;
    MissingNetworkUrl = "missing_network_url", InvalidRequest, 400;
    MissingPayload = "missing_payload", InvalidRequest, 400;
    NotFoundSimilarId = "not_found_similar_id", InvalidRequest, 400;
    MissingSwapIndexes = "missing_swap_indexes", InvalidRequest, 400;
    MissingTaskFilters = "missing_task_filters", InvalidRequest, 400;
    PayloadTooLarge = "payload_too_large", InvalidRequest, 413;
    ChatNotFound = "chat_not_found", InvalidRequest, 404;
    InvalidChatCompletionApiKey = "invalid_chat_completion_api_key", InvalidRequest, 400;
    InvalidChatCompletionApiVersion = "invalid_chat_completion_api_version", InvalidRequest, 400;
    InvalidChatCompletionBaseApi = "invalid_chat_completion_base_api", InvalidRequest, 400;
    InvalidChatCompletionDeploymentId = "invalid_chat_completion_deployment_id", InvalidRequest, 400;
    InvalidChatCompletionOrgId = "invalid_chat_completion_org_id", InvalidRequest, 400;
    InvalidChatCompletionProjectId = "invalid_chat_completion_project_id", InvalidRequest, 400;
    InvalidChatCompletionSearchDescriptionPrompt = "invalid_chat_completion_search_description_prompt", InvalidRequest, 400;
    InvalidChatCompletionSearchFilterParamPrompt = "invalid_chat_completion_search_filter_param_prompt", InvalidRequest, 400;
    InvalidChatCompletionSearchIndexUidParamPrompt = "invalid_chat_completion_search_index_uid_param_prompt", InvalidRequest, 400;
    InvalidChatCompletionSearchQueryParamPrompt = "invalid_chat_completion_search_query_param_prompt", InvalidRequest, 400;
    InvalidChatCompletionSystemPrompt = "invalid_chat_completion_system_prompt", InvalidRequest, 400;
    InvalidChatSettingDocumentTemplate = "invalid_chat_setting_document_template", InvalidRequest, 400;
    InvalidExportApiKey = "invalid_export_api_key", InvalidRequest, 400;
    InvalidExportIndexFilter = "invalid_export_index_filter", InvalidRequest, 400;
    InvalidExportIndexOverrideSettings = "invalid_export_index_override_settings", InvalidRequest, 400;
    InvalidExportPayloadSize = "invalid_export_payload_size", InvalidRequest, 400;
    InvalidExportUrl = "invalid_export_url", InvalidRequest, 400;
    InvalidSettingsIndexChat = "invalid_settings_index_chat", InvalidRequest, 400;
    RemoteBadRequest = "remote_bad_request", InvalidRequest, 400;
    RemoteCouldNotSendRequest = "remote_could_not_send_request", System, 502;
    RemoteInvalidApiKey = "remote_invalid_api_key", Auth, 403;
    RequiresEnterpriseEdition = "requires_enterprise_edition", InvalidRequest, 451;
    TaskNotFound = "task_not_found", InvalidRequest, 404;
    UnexpectedNetworkPreviousRemotes = "unexpected_network_previous_remotes", InvalidRequest, 400;
    UnimplementedExternalFunctionCalling = "unimplemented_external_function_calling", InvalidRequest, 501;
    UnimplementedMultiChoiceChatCompletions = "unimplemented_multi_choice_chat_completions", InvalidRequest, 501;
    UnimplementedNonStreamingChatCompletions = "unimplemented_non_streaming_chat_completions", InvalidRequest, 501;
    UnsupportedMediaType = "unsupported_media_type", InvalidRequest, 415;
    WebhookNotFound = "webhook_not_found", InvalidRequest, 404;
    MiroirAdminUiReadOnly = "miroir_admin_ui_read_only", Auth, 403;
    MiroirAliasConflict = "miroir_alias_conflict", InvalidRequest, 409;
    MiroirAliasNotFound = "miroir_alias_not_found", InvalidRequest, 404;
    MiroirBackupNotFound = "miroir_backup_not_found", InvalidRequest, 404;
    MiroirCanaryConflict = "miroir_canary_conflict", InvalidRequest, 409;
    MiroirCanaryNotFound = "miroir_canary_not_found", InvalidRequest, 404;
    MiroirCsrfTokenInvalid = "miroir_csrf_token_invalid", Auth, 403;
    MiroirIdempotencyKeyReused = "miroir_idempotency_key_reused", InvalidRequest, 409;
    MiroirInvalidAuth = "miroir_invalid_auth", Auth, 401;
    MiroirJwtInvalid = "miroir_jwt_invalid", Auth, 401;
    MiroirJwtScopeDenied = "miroir_jwt_scope_denied", Auth, 403;
    MiroirMultiAliasNotWritable = "miroir_multi_alias_not_writable", InvalidRequest, 409;
    MiroirNoQuorum = "miroir_no_quorum", System, 503;
    MiroirOperationConflict = "miroir_operation_conflict", InvalidRequest, 409;
    MiroirOperationNotFound = "miroir_operation_not_found", InvalidRequest, 404;
    MiroirOverloaded = "miroir_overloaded", System, 503;
    MiroirReservedField = "miroir_reserved_field", InvalidRequest, 400;
    MiroirSearchPageDenied = "miroir_search_page_denied", Auth, 403;
    MiroirSearchPageNotFound = "miroir_search_page_not_found", InvalidRequest, 404;
    MiroirRolloverPolicyConflict = "miroir_rollover_policy_conflict", InvalidRequest, 409;
    MiroirRolloverPolicyNotFound = "miroir_rollover_policy_not_found", InvalidRequest, 404;
    MiroirSettingsVersionStale = "miroir_settings_version_stale", System, 503;
    MiroirShardUnavailable = "miroir_shard_unavailable", System, 503;
    MiroirTenantNotFound = "miroir_tenant_not_found", InvalidRequest, 404;
    MiroirTenantUnknown = "miroir_tenant_unknown", InvalidRequest, 403;
    MiroirTooManyLogins = "miroir_too_many_logins", Auth, 429;
    MiroirTooManyRequests = "miroir_too_many_requests", Auth, 429;
    MiroirTtlPolicyNotFound = "miroir_ttl_policy_not_found", InvalidRequest, 404;
    MiroirUiSecretMissing = "miroir_ui_secret_missing", System, 503;
    MiroirWriteNotPending = "miroir_write_not_pending", InvalidRequest, 409;
}

/// An error on its way to a client.
#[derive(Debug, Clone)]
pub struct ApiError {
    status: StatusCode,
    body: ErrorBody,
    retry_after_seconds: Option<u32>,
    /// The limit that was exceeded, when the code alone does not tell.
    reason: Option<&'static str>,
}

#[derive(Debug, Clone)]
enum ErrorBody {
    Own {
        code: Code,
        message: Cow<'static, str>,
    },
    /// A node's refusal: its JSON body without reserved fields.
    Node(Vec<u8>),
    /// Meilisearch answers some statuses (404, 405) without a body.
    Empty,
}

/// The parts of an error's response.
#[derive(Debug)]
pub struct ErrorAnswer {
    pub status: StatusCode,
    /// JSON; `None` for a response without a body.
    pub body: Option<Vec<u8>>,
    /// The value of the header `Retry-After`.
    pub retry_after_seconds: Option<u32>,
}

impl ApiError {
    /// An error of the gateway's own.
    #[must_use]
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        let status = StatusCode::from_u16(code.facts().2).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = ErrorBody::Own { code, message: message.into() };
        Self { status, body, retry_after_seconds: None, reason: None }
    }

    /// Counts the error under the name of the limit that it is about.
    #[must_use]
    pub fn because(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// The name under which the refusal is counted: the limit that it is about, or its code.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.reason.unwrap_or(match self.body {
            ErrorBody::Own { code, .. } => code.facts().0,
            ErrorBody::Node(_) => "refused_by_node",
            ErrorBody::Empty => "no_such_route",
        })
    }

    /// A 503 with the number of seconds after which to come back.
    #[must_use]
    pub fn overloaded(message: impl Into<Cow<'static, str>>) -> Self {
        let mut error = Self::new(Code::MiroirOverloaded, message);
        error.retry_after_seconds = Some(1);
        error
    }

    /// Tells after how many seconds to come back.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// A status with an empty body, as Meilisearch answers unknown routes and methods.
    #[must_use]
    pub fn bare(status: StatusCode) -> Self {
        Self { status, body: ErrorBody::Empty, retry_after_seconds: None, reason: None }
    }

    /// The refusal of a node, without reserved fields in its message.
    #[must_use]
    pub fn from_node(status: StatusCode, body: &[u8]) -> Self {
        let stripped = rewritten(body, |message| merge::strip_message(&unguarded(message)).into_owned());
        let body = if stripped.is_empty() { ErrorBody::Empty } else { ErrorBody::Node(stripped) };
        Self { status, body, retry_after_seconds: None, reason: None }
    }

    /// Puts clients' names of indexes into a node's refusal.
    #[must_use]
    pub fn rename_indexes(mut self, rename: impl Fn(&str) -> Option<String>) -> Self {
        if let ErrorBody::Node(body) = &mut self.body
            && let Ok(mut members) = serde_json::from_slice::<serde_json::Value>(body)
            && let Some(message) = members["message"].as_str()
        {
            let renamed = rename_index(message, rename).into_owned();
            members["message"] = json!(renamed);
            *body = members.to_string().into_bytes();
        }
        self
    }

    /// The code of a node's refusal; `None` for the gateway's own errors.
    #[must_use]
    pub fn node_code(&self) -> Option<String> {
        let ErrorBody::Node(body) = &self.body else { return None };
        let members = serde_json::from_slice::<serde_json::Value>(body).ok()?;
        members["code"].as_str().map(str::to_owned)
    }

    /// Rewrites the message of a node's refusal.
    #[must_use]
    pub fn rewrite(mut self, rewrite: impl Fn(&str) -> String) -> Self {
        if let ErrorBody::Node(body) = &self.body {
            self.body = ErrorBody::Node(rewritten(body, rewrite));
        }
        self
    }

    /// Removes the names of attributes that the client may not see from a node's refusal.
    #[must_use]
    pub fn hide_attributes(mut self, displayed: &[String]) -> Self {
        if let ErrorBody::Node(body) = &self.body {
            self.body = ErrorBody::Node(rewritten(body, |message| {
                merge::hide_attributes(message, displayed).into_owned()
            }));
        }
        self
    }

    /// Makes it the error of a part of the request, as Meilisearch names it. An unknown index in a body is 400, not
    /// 404.
    #[must_use]
    pub fn inside(mut self, place: &str) -> Self {
        if self.status == StatusCode::NOT_FOUND {
            self.status = StatusCode::BAD_REQUEST;
        }
        self.body = match self.body {
            ErrorBody::Own { code, message } => {
                ErrorBody::Own { code, message: format!("Inside `{place}`: {message}").into() }
            }
            ErrorBody::Node(body) => {
                ErrorBody::Node(rewritten(&body, |message| format!("Inside `{place}`: {message}")))
            }
            ErrorBody::Empty => ErrorBody::Empty,
        };
        self
    }

    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The code, when it is one of the gateway's own errors.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self.body {
            ErrorBody::Own { code, .. } => Some(code),
            ErrorBody::Node(_) | ErrorBody::Empty => None,
        }
    }

    /// The error as the `error` member of a task.
    #[must_use]
    pub fn into_task_error(self) -> store::TaskError {
        match self.body {
            ErrorBody::Own { code, message } => {
                let (name, kind, _) = code.facts();
                store::TaskError {
                    message: message.into_owned(),
                    code: name.to_owned(),
                    kind: kind.name().to_owned(),
                    link: link(name),
                }
            }
            ErrorBody::Node(body) => node_task_error(&body),
            ErrorBody::Empty => node_task_error(b"{}"),
        }
    }

    /// The response with this error.
    #[must_use]
    pub fn into_answer(self) -> ErrorAnswer {
        let body = match self.body {
            ErrorBody::Own { code, message } => {
                let (name, kind, _) = code.facts();
                let body = json!({"message": message, "code": name, "type": kind.name(), "link": link(name)});
                Some(body.to_string().into_bytes())
            }
            ErrorBody::Node(body) => Some(body),
            ErrorBody::Empty => None,
        };
        ErrorAnswer { status: self.status, body, retry_after_seconds: self.retry_after_seconds }
    }
}

/// Replaces nodes' names of indexes in a message by clients' names; `rename` gives these, if any.
#[must_use]
pub fn rename_index(message: &str, rename: impl Fn(&str) -> Option<String>) -> Cow<'_, str> {
    // The text before an index's name in Meilisearch's messages.
    const MARKS: [&str; 3] = ["ndex `", "facetsByIndex.", "]`, `"];
    let named = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let mut renamed = String::new();
    let mut rest = message;
    while let Some(start) =
        MARKS.iter().filter_map(|mark| rest.find(mark).map(|place| place + mark.len())).min()
    {
        let length = rest.as_bytes()[start..].iter().take_while(|byte| named(**byte)).count();
        let name = &rest[start..start + length];
        renamed.push_str(&rest[..start]);
        renamed.push_str(rename(name).as_deref().unwrap_or(name));
        rest = &rest[start + length..];
    }
    if renamed.is_empty() {
        return Cow::Borrowed(message);
    }
    renamed.push_str(rest);
    Cow::Owned(renamed)
}

/// The documentation link Meilisearch gives with a code.
#[must_use]
pub fn link(code: &str) -> String {
    format!("https://docs.meilisearch.com/errors#{code}")
}

/// The JSON body of an error with its message changed; empty for any other body.
fn rewritten(body: &[u8], change: impl Fn(&str) -> String) -> Vec<u8> {
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(serde_json::Value::Object(mut members)) => {
            if let Some(serde_json::Value::String(message)) = members.get_mut("message") {
                *message = change(message);
            }
            serde_json::to_vec(&members).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

fn node_task_error(body: &[u8]) -> store::TaskError {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let member = |name: &str, default: &str| value[name].as_str().unwrap_or(default).to_owned();
    store::TaskError {
        message: member("message", "a node refused the request without saying why"),
        code: member("code", "internal"),
        kind: member("type", "internal"),
        link: member("link", &link("internal")),
    }
}

/// The name under which [`key_in_use`] is counted.
pub const KEY_IN_USE_REASON: &str = "idempotency_key_in_use";

/// The error while another request with the same key is under way: its outcome is not known yet.
#[must_use]
pub fn key_in_use() -> ApiError {
    let message = "A request with this `Idempotency-Key` is being served; try again shortly.";
    ApiError::overloaded(message).because(KEY_IN_USE_REASON)
}

impl From<store::StoreError> for ApiError {
    fn from(error: store::StoreError) -> Self {
        if let store::StoreError::Repeated | store::StoreError::Reused = error {
            return key_in_use();
        }
        Self::overloaded(format!("the gateway's store cannot take the request now: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_meilisearch_shape() {
        let answer = ApiError::new(Code::IndexNotFound, "Index `a` not found.").into_answer();
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.retry_after_seconds, None);
        assert_eq!(
            String::from_utf8(answer.body.unwrap()).unwrap(),
            r#"{"message":"Index `a` not found.","code":"index_not_found","type":"invalid_request","link":"https://docs.meilisearch.com/errors#index_not_found"}"#
        );
    }

    #[test]
    fn errors_of_a_part_say_where() {
        let check = |error: ApiError, expected: &str| {
            let answer = error.inside(".queries[1]").into_answer();
            assert_eq!(answer.status, StatusCode::BAD_REQUEST);
            let body: serde_json::Value = serde_json::from_slice(&answer.body.unwrap()).unwrap();
            assert_eq!(body["message"], expected);
        };
        check(ApiError::new(Code::IndexNotFound, "No `a`."), "Inside `.queries[1]`: No `a`.");
        let of_node = ApiError::from_node(StatusCode::NOT_FOUND, br#"{"message":"No.","code":"x"}"#);
        check(of_node, "Inside `.queries[1]`: No.");
    }

    #[test]
    fn codes_are_unique_and_statuses_valid() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.facts().0).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|code| (400..600).contains(&code.facts().2)));
    }

    #[test]
    fn indexes_have_the_names_clients_gave_them() {
        let rename = |name: &str| (name == "films-7").then(|| "films".to_owned());
        let check = |message: &str, expected: &str| assert_eq!(rename_index(message, rename), expected);
        check("Index `films-7` not found.", "Index `films` not found.");
        check(
            "Index `films-7`: Attribute `films-7` is wrong.",
            "Index `films`: Attribute `films-7` is wrong.",
        );
        check("no index `a` and no index `films-7`", "no index `a` and no index `films`");
        check("Index `films-7", "Index `films");
        check("pass `federation.facetsByIndex.films-7: []`", "pass `federation.facetsByIndex.films: []`");
    }

    #[test]
    fn overload_says_when_to_come_back() {
        let answer = ApiError::overloaded("too many").into_answer();
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.retry_after_seconds, Some(1));
    }
}
