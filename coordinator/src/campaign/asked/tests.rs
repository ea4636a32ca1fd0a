//! Keys of the target, read and written back.

use crate::campaign::{Campaign, FlagValue, KeyRef, Overlay, Problems, Source, resolve};

const REST: &str = "[workloads.w]\ninput_tokens = 5\noutput_tokens = 2\n\
                    [phases]\nbaseline = { workload = \"w\" }\n\
                    [target]\nmodel = \"m\"\n";

fn read_with(target: &str, overlay: &Overlay) -> Result<Campaign, Problems> {
    let text = format!("{REST}{target}");
    resolve(Some(Source { name: "c.toml", text: &text }), overlay)
}

/// The campaign with these keys of the target, against one plain server.
fn read(keys: &str) -> Result<Campaign, Problems> {
    read_with(&format!("base_urls = [\"http://h\"]\n{keys}"), &Overlay::default())
}

/// Reads back to itself.
fn sound(target: &str) -> Campaign {
    let campaign = read_with(target, &Overlay::default()).unwrap();
    let text = campaign.to_toml();
    let back = resolve(Some(Source { name: "c.toml", text: &text }), &Overlay::default());
    assert_eq!(back.as_ref(), Ok(&campaign), "{text}");
    campaign
}

fn problem(keys: &str) -> String {
    read(keys).unwrap_err().to_string()
}

#[test]
fn everything_that_can_be_said_is_understood_and_written_back() {
    let campaign = sound(
        "base_urls = [\"https://a\", \"http://b:8000/x/v1/v1\"]\nhttp = \"2\"\n\
         api_key = { file = \"k é\", header = \"API-Key\" }\n\
         tls = { ca = \"ca.pem\", cert = \"c.pem\", key = \"k.pem\" }\n\
         [target.extra_body]\ntop_p = 0.95\nstop = [\"a\", \"\\n\"]\nseed = 7\n\
         chat_template_kwargs = { enable_thinking = false }\n\
         [target.headers]\nX-Team = \"perf tests\"\nx-secret = { env = \"S\" }\n\
         authorization = { file = \"/run/auth\" }\n",
    );
    let target = &campaign.target;
    assert_eq!(target.urls(), "https://a, http://b:8000/x/v1");
    let body = r#"{"chat_template_kwargs":{"enable_thinking":false},"seed":7,"stop":["a","\n"],"top_p":0.95}"#;
    assert_eq!(target.extra_body.to_string(), body);
    let plain: Vec<_> =
        target.headers.iter().map(|h| (h.name.as_str(), h.value.as_str())).collect();
    assert_eq!(plain, [("x-team", "perf tests")]);
    let secret: Vec<_> =
        campaign.secret_headers.iter().map(|(name, key)| (name.as_str(), key.clone())).collect();
    let file = KeyRef::File("/run/auth".into());
    assert_eq!(secret, [("authorization", file), ("x-secret", KeyRef::Env("S".to_owned()))]);
    assert_eq!(target.key_header.as_ref().unwrap().as_str(), "api-key");
    assert_eq!(campaign.client.as_ref().unwrap().key, std::path::Path::new("k.pem"));
}

#[test]
fn a_body_may_be_json_with_what_toml_has_not() {
    let campaign = sound(
        "base_urls = [\"http://h\"]\nextra_body = '{\"a\": null, \"big\": 18446744073709551615}'\n",
    );
    assert_eq!(campaign.target.extra_body.to_string(), r#"{"a":null,"big":18446744073709551615}"#);
    for (keys, says) in [
        (
            "extra_body = { max_tokens = 5 }",
            "max_tokens cannot be set: the workload's output_tokens",
        ),
        ("extra_body = { stream_options = {} }", "stream_options cannot be set"),
        ("extra_body = '{'", "is no JSON"),
        ("extra_body = '[]'", "must be a JSON object"),
        ("extra_body = 5", "must be a table, or a string with JSON, not an integer"),
        ("extra_body = { a = 2020-01-01 }", "target.extra_body.a = 2020-01-01: JSON has no dates"),
        ("extra_body = { a = [1, inf] }", "target.extra_body.a.1 = inf: is no number"),
    ] {
        let told = problem(keys);
        assert!(told.contains(says), "{told}");
    }
    assert!(read("extra_body = { temperature = 0.7 }").is_ok());
}

#[test]
fn a_header_is_a_token_that_nobody_else_writes_and_a_secret_is_named_by_reference() {
    for (keys, says) in [
        ("headers = { \"a b\" = \"x\" }", "the name of a header has 1 to 128 letters"),
        ("headers = { Host = \"x\" }", "floodmark writes host itself"),
        ("headers = { a = \"x\\r\\ny: z\" }", "visible ASCII"),
        ("headers = { a = \"\" }", "visible ASCII"),
        ("headers = { Authorization = \"Bearer canary\" }", "a literal one is refused"),
        ("headers = { cookie = \"canary\" }", "a literal one is refused"),
        ("headers = { a = \"x\", A = \"y\" }", "is there already, in other letters"),
        ("headers = { a = { env = \"X\", file = \"canary\" } }", "exactly one of env and file"),
        ("headers = { a = { value = \"canary\" } }", "valid keys: env, file"),
        ("headers = [\"canary\"]", "must be a table"),
        (
            "api_key = { env = \"K\" }\nheaders = { authorization = { env = \"A\" } }",
            "target.headers.authorization: the API key goes there",
        ),
        (
            "api_key = { env = \"K\", header = \"x-k\" }\nheaders = { X-K = \"canary\" }",
            "the API key goes there",
        ),
        ("api_key = { header = \"x-k\" }", "exactly one of env and file"),
        ("api_key = { env = \"K\", header = \"a b\" }", "target.api_key.header: the name"),
    ] {
        let told = problem(keys);
        assert!(told.contains(says) && !told.contains("canary"), "{told}");
    }
    // A key that only stands in the environment gives way.
    let mut overlay = Overlay::default();
    overlay.default_key("OPENAI_API_KEY");
    let target = "base_urls = [\"http://h\"]\nheaders = { authorization = { env = \"A\" } }\n";
    assert!(read_with(target, &overlay).is_ok());
}

#[test]
fn flags_add_headers_and_a_body() {
    let mut overlay = Overlay::default();
    overlay.header("X-Team: perf: tests".to_owned());
    let body = FlagValue::Text("{\"top_p\": 0.9}".to_owned());
    overlay.flag("--extra-body", &["target", "extra_body"], body);
    let campaign = read_with("base_urls = [\"http://h\"]\nheaders = { a = \"b\" }\n", &overlay);
    let target = campaign.unwrap().target;
    let told: Vec<_> = target.headers.iter().map(|h| format!("{}={}", h.name, h.value)).collect();
    assert_eq!(told, ["a=b", "x-team=perf: tests"]);
    assert_eq!(target.extra_body.to_string(), r#"{"top_p":0.9}"#);
    for (text, says) in [
        ("canary", "--header number 1: is not of the form NAME:VALUE"),
        ("authorization: Bearer canary", "a literal one is refused"),
        ("x-a: canary\r\nb: c", "visible ASCII"),
    ] {
        let mut overlay = Overlay::default();
        overlay.header(text.to_owned());
        let told = read_with("base_urls = [\"http://h\"]\n", &overlay).unwrap_err();
        assert!(
            told.to_string().contains(says) && !format!("{told:?}").contains("canary"),
            "{told}"
        );
    }
}

#[test]
fn a_client_certificate_has_a_key_and_belongs_to_https() {
    let tls = |url: &str, tls: &str| {
        read_with(&format!("base_urls = [\"{url}\"]\ntls = {tls}\n"), &Overlay::default())
    };
    let only_client = tls("https://h", "{ cert = \"c\", key = \"k\" }").unwrap();
    assert!(only_client.ca.is_none() && only_client.client.is_some());
    for (url, table, says) in [
        ("https://h", "{ cert = \"c\" }", "cert and key belong together"),
        ("https://h", "{ ca = \"a\", key = \"k\" }", "cert and key belong together"),
        ("http://h", "{ cert = \"c\", key = \"k\" }", "base_urls would have to be https"),
    ] {
        let told = tls(url, table).unwrap_err().to_string();
        assert!(told.contains(says), "{told}");
    }
    assert!(problem("http = \"3\"").contains("must be one of 1.1, 2"));
}
