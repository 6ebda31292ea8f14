//! The configuration of a search page: what an operator sends, what is stored, and what the page gets to see.
//!
//! Invariants: what is stored was checked as a whole against its index. Nobody but operators sees how a page's visitors
//! are told apart. Each refusal names the member that it is about.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    api::error::ApiError,
    config::limits::{
        SEARCH_PAGE_FACETS_DEFAULT, SEARCH_PAGE_HITS_DEFAULT, SEARCH_PAGE_HITS_MAX, SEARCH_PAGE_LIST_MAX,
        SEARCH_PAGE_TEXT_MAX,
    },
    pages::search::{attributes::Attributes, identity, origin, refusal::wrong, template},
};

/// A page as its operator wants it; everything may be left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct PageConfig {
    pub(crate) title: Option<String>,
    pub(crate) subtitle: Option<String>,
    pub(crate) placeholder: Option<String>,
    /// The language of the page's own words; the visitor's, where it is left out.
    pub(crate) language: Option<String>,
    pub(crate) theme: Theme,
    pub(crate) layout: Layout,
    pub(crate) display: Display,
    /// How a hit is drawn, in place of `display`.
    pub(crate) template: Option<String>,
    /// The first attributes that can be filtered by, where it is left out.
    pub(crate) facets: Option<Vec<Facet>>,
    /// Every attribute that can be sorted by, in both directions, where it is left out.
    pub(crate) sorts: Option<Vec<Sort>>,
    pub(crate) pagination: Pagination,
    pub(crate) hits_per_page: u16,
    pub(crate) auth: Auth,
    /// Origins, beside the gateway's own, whose pages may ask for sessions and show the page in a frame.
    pub(crate) allowed_origins: Vec<String>,
    /// Origins, beside the gateway's own, that images come from.
    pub(crate) image_origins: Vec<String>,
    /// Whether the page tells clicks and latencies.
    pub(crate) beacons: bool,
}

impl Default for PageConfig {
    fn default() -> Self {
        Self {
            title: None,
            subtitle: None,
            placeholder: None,
            language: None,
            theme: Theme::default(),
            layout: Layout::default(),
            display: Display::default(),
            template: None,
            facets: None,
            sorts: None,
            pagination: Pagination::default(),
            hits_per_page: SEARCH_PAGE_HITS_DEFAULT,
            auth: Auth::default(),
            allowed_origins: Vec::new(),
            image_origins: Vec::new(),
            beacons: true,
        }
    }
}

/// How the page looks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Theme {
    pub(crate) mode: ThemeMode,
    /// `#rrggbb`; shades that can be read follow from it.
    pub(crate) accent: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ThemeMode {
    #[default]
    Auto,
    Light,
    Dark,
}

/// How hits are laid out, until a visitor chooses otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Layout {
    #[default]
    List,
    Card,
    Grid,
    Table,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Pagination {
    #[default]
    Pages,
    Scroll,
}

/// Which attributes of a document are shown where; the page guesses what is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Display {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subtitle: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) image: Option<String>,
    /// An attribute that holds the address of the document's own page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) link: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) badges: Option<Vec<String>>,
    /// The columns of a table, and the facts of a card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fields: Option<Vec<String>>,
}

/// One facet; a text alone is its attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a facet is the name of an attribute, or an object with `attribute`, `label` and `kind` (auto, checkbox, range or stars)"
)]
pub(crate) enum Facet {
    Named(String),
    Full(FullFacet),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FullFacet {
    pub(crate) attribute: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<String>,
    #[serde(default)]
    pub(crate) kind: FacetKind,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum FacetKind {
    /// A range for numbers of many values, stars for ratings, else checkboxes.
    #[default]
    Auto,
    Checkbox,
    Range,
    Stars,
}

/// One order; a text alone is `attribute:asc` or `attribute:desc`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "an order is `attribute:asc` or `attribute:desc`, or an object with `sort` and `label`"
)]
pub(crate) enum Sort {
    Named(String),
    Full(FullSort),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FullSort {
    pub(crate) sort: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<String>,
}

/// What a visitor needs for a session.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Auth {
    pub(crate) mode: AuthMode,
    /// The header in which a proxy names the user; of `oauth_proxy` alone, as the next two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_header: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) groups_header: Option<String>,
    /// A filter that names `{user}` or `{groups}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) filter_template: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuthMode {
    /// Everybody.
    #[default]
    Public,
    /// Those who send the shared key.
    SharedKey,
    /// Those whom the proxy in front of the gateway has let in.
    OauthProxy,
}

impl Facet {
    pub(crate) fn attribute(&self) -> &str {
        match self {
            Self::Named(attribute) | Self::Full(FullFacet { attribute, .. }) => attribute,
        }
    }
}

impl Sort {
    pub(crate) fn order(&self) -> &str {
        match self {
            Self::Named(sort) | Self::Full(FullSort { sort, .. }) => sort,
        }
    }
}

impl PageConfig {
    /// Reads a configuration as it is sent.
    ///
    /// # Errors
    /// 400 `bad_request` with the member that is wrong.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        // The library takes a list for an object's members in their order.
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(wrong("it has to be an object"));
        }
        serde_json::from_slice(body).map_err(|error| wrong(&format!("{error}")))
    }

    /// Checks everything that can be checked without asking a node.
    ///
    /// # Errors
    /// 400 `bad_request` with the member that is wrong.
    pub(crate) fn check(&self, uid: &str, attributes: &Attributes) -> Result<(), ApiError> {
        self.check_texts()?;
        if let Some(text) = &self.template {
            let compiled =
                template::compile(text).map_err(|reason| wrong(&format!("`template`, {reason}")))?;
            for field in &compiled.fields {
                attributes.check_known("template", field, uid)?;
            }
        }
        self.check_display(uid, attributes)?;
        for (position, facet) in listed("facets", self.facets.as_deref().unwrap_or_default())? {
            attributes.check_filterable(&format!("facets[{position}]"), facet.attribute(), uid)?;
        }
        for (position, sort) in listed("sorts", self.sorts.as_deref().unwrap_or_default())? {
            let place = format!("sorts[{position}]");
            match sort.order().rsplit_once(':') {
                Some((attribute, "asc" | "desc")) => attributes.check_sortable(&place, attribute, uid)?,
                _ => {
                    return Err(wrong(&format!(
                        "`{place}` is {:?}, neither `attribute:asc` nor `attribute:desc`",
                        sort.order()
                    )));
                }
            }
        }
        for (name, origins) in
            [("allowedOrigins", &self.allowed_origins), ("imageOrigins", &self.image_origins)]
        {
            for (position, one) in listed(name, origins)? {
                origin::check(one)
                    .map_err(|reason| wrong(&format!("`{name}[{position}]` is {one:?}: {reason}")))?;
            }
        }
        self.check_auth()
    }

    fn check_texts(&self) -> Result<(), ApiError> {
        let labels = self.facets.iter().flatten().filter_map(|facet| match facet {
            Facet::Full(facet) => facet.label.as_ref(),
            Facet::Named(_) => None,
        });
        let labels = labels.chain(self.sorts.iter().flatten().filter_map(|sort| match sort {
            Sort::Full(sort) => sort.label.as_ref(),
            Sort::Named(_) => None,
        }));
        let named =
            [("title", &self.title), ("subtitle", &self.subtitle), ("placeholder", &self.placeholder)];
        let named = named.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?)));
        for (name, text) in named.chain(labels.map(|label| ("label", label))) {
            if text.chars().count() > SEARCH_PAGE_TEXT_MAX {
                return Err(wrong(&format!("`{name}` has more than {SEARCH_PAGE_TEXT_MAX} characters")));
            }
        }
        if !(1..=SEARCH_PAGE_HITS_MAX).contains(&self.hits_per_page) {
            return Err(wrong(&format!(
                "`hitsPerPage` is {}, and 1 to {SEARCH_PAGE_HITS_MAX} are allowed",
                self.hits_per_page
            )));
        }
        let is_language = |text: &String| {
            (2..=20).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if let Some(language) = self.language.as_ref().filter(|language| !is_language(language)) {
            return Err(wrong(&format!(
                "`language` is {language:?}, and no tag of a language, such as `en` or `pt-BR`"
            )));
        }
        let is_colour = |text: &String| {
            text.strip_prefix('#').is_some_and(|digits| {
                digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
            })
        };
        match self.theme.accent.as_ref().filter(|accent| !is_colour(accent)) {
            Some(accent) => {
                Err(wrong(&format!("`theme.accent` is {accent:?}, and no colour such as `#0f6e68`")))
            }
            None => Ok(()),
        }
    }

    fn check_display(&self, uid: &str, attributes: &Attributes) -> Result<(), ApiError> {
        let display = &self.display;
        let single = [
            ("title", &display.title),
            ("subtitle", &display.subtitle),
            ("text", &display.text),
            ("image", &display.image),
            ("link", &display.link),
        ];
        for (name, attribute) in single {
            if let Some(attribute) = attribute {
                attributes.check_known(&format!("display.{name}"), attribute, uid)?;
            }
        }
        for (name, list) in [("badges", &display.badges), ("fields", &display.fields)] {
            let name = format!("display.{name}");
            for (position, attribute) in listed(&name, list.as_deref().unwrap_or_default())? {
                attributes.check_known(&format!("{name}[{position}]"), attribute, uid)?;
            }
        }
        Ok(())
    }

    fn check_auth(&self) -> Result<(), ApiError> {
        let auth = &self.auth;
        let of_proxy = [
            ("userHeader", &auth.user_header),
            ("groupsHeader", &auth.groups_header),
            ("filterTemplate", &auth.filter_template),
        ];
        for (name, value) in of_proxy {
            let Some(value) = value else { continue };
            if auth.mode != AuthMode::OauthProxy {
                return Err(wrong(&format!("`auth.{name}` is of the mode `oauth_proxy` alone")));
            }
            if name.ends_with("Header") && value.parse::<http::HeaderName>().is_err() {
                return Err(wrong(&format!("`auth.{name}` is {value:?}, and no header has such a name")));
            }
        }
        match &auth.filter_template {
            Some(text) => identity::check_template(text)
                .map_err(|reason| wrong(&format!("`auth.filterTemplate`: {reason}"))),
            None => Ok(()),
        }
    }

    /// What the page itself gets to see: nothing of how its visitors are told apart.
    pub(crate) fn public(&self, uid: &str, attributes: &Attributes) -> Value {
        let facets = match &self.facets {
            Some(facets) => facets
                .iter()
                .map(|facet| match facet {
                    Facet::Named(attribute) => json!({"attribute": attribute, "kind": FacetKind::Auto}),
                    Facet::Full(facet) => json!(facet),
                })
                .collect::<Vec<_>>(),
            None => attributes
                .facets(SEARCH_PAGE_FACETS_DEFAULT)
                .into_iter()
                .map(|attribute| json!({"attribute": attribute, "kind": FacetKind::Auto}))
                .collect(),
        };
        let sorts = match &self.sorts {
            Some(sorts) => sorts
                .iter()
                .map(|sort| match sort {
                    Sort::Named(sort) => json!({"sort": sort}),
                    Sort::Full(sort) => json!(sort),
                })
                .collect::<Vec<_>>(),
            None => attributes.sorts().into_iter().map(|sort| json!({"sort": sort})).collect(),
        };
        // What was checked once compiles again.
        let compiled = self.template.as_deref().and_then(|text| template::compile(text).ok());
        json!({
            "index": uid,
            "title": self.title.as_deref().unwrap_or(uid),
            "subtitle": self.subtitle,
            "placeholder": self.placeholder,
            "language": self.language,
            "theme": self.theme,
            "layout": self.layout,
            "display": self.display,
            "template": compiled.map(|compiled| compiled.nodes),
            "facets": facets,
            "sorts": sorts,
            "pagination": self.pagination,
            "hitsPerPage": self.hits_per_page,
            "imageOrigins": self.image_origins,
            "beacons": self.beacons,
            "primaryKey": attributes.primary_key,
            "searchable": attributes.searchable,
        })
    }
}

/// The members of a list with their positions.
fn listed<'l, T>(name: &str, list: &'l [T]) -> Result<impl Iterator<Item = (usize, &'l T)>, ApiError> {
    match list.len() > SEARCH_PAGE_LIST_MAX {
        true => Err(wrong(&format!(
            "`{name}` has {} members, and at most {SEARCH_PAGE_LIST_MAX} are allowed",
            list.len()
        ))),
        false => Ok(list.iter().enumerate()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes() -> Attributes {
        let settings = json!({
            "filterableAttributes": ["country", "tags", {"attributePatterns": ["spec.*"]}],
            "sortableAttributes": ["population"],
        });
        let fields = ["id", "name", "country", "tags", "population", "picture"];
        Attributes::new(Some("id"), &settings, fields.map(str::to_owned).into())
    }

    fn refusal(config: Value) -> String {
        let checked = PageConfig::parse(config.to_string().as_bytes())
            .and_then(|page| page.check("cities", &attributes()));
        let answer = checked.expect_err(&config.to_string()).into_answer();
        let body: Value = serde_json::from_slice(&answer.body.unwrap()).unwrap();
        body["message"].as_str().unwrap().to_owned()
    }

    #[test]
    fn everything_may_be_left_out() {
        let page = PageConfig::parse(b"{}").unwrap();
        page.check("cities", &attributes()).unwrap();
        let public = page.public("cities", &attributes());
        assert_eq!(public["title"], "cities");
        assert_eq!(
            public["facets"],
            json!([{"attribute": "country", "kind": "auto"}, {"attribute": "tags", "kind": "auto"}])
        );
        assert_eq!(public["sorts"], json!([{"sort": "population:asc"}, {"sort": "population:desc"}]));
        assert!(public.get("auth").is_none() && public.get("allowedOrigins").is_none());
    }

    #[test]
    fn a_whole_configuration_is_stored_as_it_was_sent() {
        let sent = json!({
            "title": "Cities", "subtitle": "s", "placeholder": "p", "language": "pt-BR",
            "theme": {"mode": "dark", "accent": "#0f6E68"}, "layout": "grid",
            "display": {"title": "name", "subtitle": "country", "image": "picture", "badges": ["tags"], "fields": ["population"]},
            "template": "<h3>{{name}}</h3>",
            "facets": ["country", {"attribute": "spec.width", "label": "Width", "kind": "range"}],
            "sorts": ["population:desc", {"sort": "population:asc", "label": "Smallest"}],
            "pagination": "scroll", "hitsPerPage": 24,
            "auth": {"mode": "oauth_proxy", "userHeader": "x-user", "groupsHeader": "x-groups", "filterTemplate": "tags IN {groups}"},
            "allowedOrigins": ["https://shop.example"], "imageOrigins": ["https://img.example:8443"], "beacons": false,
        });
        let page = PageConfig::parse(sent.to_string().as_bytes()).unwrap();
        page.check("cities", &attributes()).unwrap();
        assert_eq!(json!(page), sent);
        assert_eq!(
            page.public("cities", &attributes())["template"],
            json!([{"t": "h3", "c": [{"f": "name"}]}])
        );
    }

    #[test]
    fn each_refusal_names_what_is_wrong() {
        let check = |config: Value, expected: &str| {
            let message = refusal(config.clone());
            assert!(
                message.starts_with("Invalid search page: ") && message.contains(expected),
                "{config}: {message}"
            );
        };
        check(json!({"colour": 1}), "unknown field `colour`");
        check(json!([]), "it has to be an object");
        check(json!({"title": 7}), "invalid type: integer `7`");
        check(json!({"title": "x".repeat(501)}), "`title` has more than 500 characters");
        check(json!({"layout": "wheel"}), "unknown variant `wheel`, expected one of");
        check(json!({"language": "<b>"}), "`language` is \"<b>\"");
        check(json!({"theme": {"accent": "red;}"}}), "`theme.accent` is \"red;}\"");
        check(json!({"hitsPerPage": 0}), "`hitsPerPage` is 0");
        check(json!({"facets": [{}]}), "a facet is the name of an attribute");
        check(
            json!({"facets": ["country", "colour"]}),
            "`facets[1]` names `colour`, which `cities` has not among its `filterableAttributes`",
        );
        check(
            json!({"sorts": ["name:desc"]}),
            "`sorts[0]` names `name`, which `cities` has not among its `sortableAttributes`",
        );
        check(json!({"sorts": ["population"]}), "neither `attribute:asc` nor `attribute:desc`");
        check(
            json!({"display": {"title": "nam"}}),
            "`display.title` names `nam`, which no document of `cities` has",
        );
        check(json!({"display": {"badges": ["tags", "x"]}}), "`display.badges[1]` names `x`");
        check(json!({"template": "{{nam}}"}), "`template` names `nam`");
        check(json!({"template": "<p>\n<script>"}), "`template`, line 2: `<script>` is not allowed");
        check(json!({"allowedOrigins": ["*"]}), "`allowedOrigins[0]` is \"*\"");
        check(json!({"imageOrigins": ["https://a.example; script-src *"]}), "`imageOrigins[0]`");
        check(json!({"auth": {"mode": "none"}}), "unknown variant `none`");
        check(
            json!({"auth": {"filterTemplate": "a = {user}"}}),
            "`auth.filterTemplate` is of the mode `oauth_proxy` alone",
        );
        check(json!({"auth": {"mode": "oauth_proxy", "userHeader": "x y"}}), "`auth.userHeader` is \"x y\"");
        check(
            json!({"auth": {"mode": "oauth_proxy", "filterTemplate": "a = \"{user}\""}}),
            "write it without quotes",
        );
        check(json!({"facets": vec!["country"; 51]}), "`facets` has 51 members");
    }
}
