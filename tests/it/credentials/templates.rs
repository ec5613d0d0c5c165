//! A format of the user's own: strict, without files, and silent about values when it fails.

use chatapi::report::credentials::{RenderError, Shape, Template, TemplateError, Token, render};

use super::values::{all, credential};
use crate::stage::{Project, is_free_of, manifest};

/// What `text` makes of `a`, `b` with the tokens `one` and `two`.
fn rendered(text: &str) -> Result<String, RenderError> {
    let template = Template::parse("t.jinja", text.to_owned())?;
    let credentials = [credential("a", "one"), credential("b-2", "two")];
    render(&credentials, &Shape::Template(&template)).map(|text| text.expose().to_owned())
}

#[test]
fn templates_say_what_they_say() {
    for (template, expected) in [
        ("", ""),
        ("plain\n", "plain\n"),
        ("{{ by_name.a.token }}", "one"),
        ("{{ by_name['b-2'].token }}\n", "two\n"),
        ("{% for one in instances %}\n{{ one.name }}={{ one.id }}\n{% endfor %}\n", "a=100001\nb-2=100001\n"),
        ("{{ instances | length }} {{ format_version }}", "2 1.0"),
        ("{{ by_name.a.type | upper }} {{ by_name.a.has_token }}", "WHATSAPP True"),
        ("{{ by_name.a.api_url }}", "https://eu.example/instance100001/?a=b&c=$d#e"),
        ("{{ by_name.a.name | replace('a', '<&>') }}", "<&>"),
        ("{{ by_name.a.token | base64 }} {{ \"it's\" | shell }} {{ 'a\"b' | tojson }}", r#"b25l 'it'\''s' "a\"b""#),
        ("{% if by_name.a.nothing is defined %}x{% else %}y{% endif %}", "y"),
        ("{{ by_name.a.nothing | default('-') }}", "-"),
    ] {
        assert_eq!(rendered(template).unwrap(), expected, "{template}");
    }
}

#[test]
fn what_is_not_defined_is_an_error_and_so_is_what_is_no_template() {
    for undefined in ["{{ token }}", "{{ by_name.c.id }}", "x\n{{ by_name.a.nothing }}", "{% for x in nothing %}{% endfor %}"] {
        let error = rendered(undefined).unwrap_err();
        assert!(matches!(error, RenderError::Template(TemplateError::Undefined { word: Some(_), .. })), "{undefined}: {error:?}");
    }
    for wrong in ["{{", "{% for %}", "{{ a b }}", "{% endif %}"] {
        assert!(matches!(rendered(wrong), Err(RenderError::Template(TemplateError::Syntax { .. }))), "{wrong}");
    }
    // Nothing of the file system is to be had.
    for file in ["{% include '/etc/passwd' %}", "{% extends 'x' %}", "{% import '/etc/passwd' as x %}"] {
        assert!(rendered(file).is_err(), "{file}");
    }
}

#[test]
fn p11_a_template_that_fails_shows_no_value() {
    let secrets = ["CanaryToken7Zq0Zq1Zq2".to_owned()];
    let credentials = [credential("a", &secrets[0])];
    for text in [
        "{{ by_name.a.token | int }}",
        "{{ by_name.a.token + 1 }}",
        "{{ by_name.a.token.x.y }}",
        "{{ by_name.a.token() }}",
        "{{ by_name[by_name.a.token].id }}",
        "{{ by_name.a.token | nosuchfilter }}",
        "{{ 1 | round(by_name.a.token) }}",
        "{% include by_name.a.token %}",
    ] {
        let Ok(template) = Template::parse("t.jinja", text.to_owned()) else { continue };
        let error = render(&credentials, &Shape::Template(&template)).unwrap_err();
        let chain = format!("{error} {error:?} {:?}", std::error::Error::source(&error).map(ToString::to_string));
        is_free_of(&secrets, &chain, text);
    }
}

#[test]
fn p13_a_template_without_an_end_is_stopped() {
    let text =
        "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}";
    assert!(matches!(rendered(text), Err(RenderError::Template(TemplateError::Failed { .. }))));
}

#[test]
fn values_stand_in_a_template_as_they_are() {
    let template = Template::parse("t.jinja", "{{ by_name.a.token }}|{{ by_name.a.token | tojson }}".to_owned()).unwrap();
    for value in all(500) {
        let text = render(&[credential("a", &value)], &Shape::Template(&template)).unwrap();
        let json = text.expose().strip_prefix(&value).and_then(|rest| rest.strip_prefix('|')).unwrap();
        assert_eq!(serde_json::from_str::<String>(json).unwrap(), value);
    }
    let mut hidden = credential("a", "");
    hidden.token = Token::Hidden;
    assert!(render(&[hidden], &Shape::Template(&template)).is_err());
}

#[test]
fn templates_come_from_a_file_or_from_the_command_line() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    project.run("apply").done();
    let token = project.token("a");
    project.write("app.conf.jinja", "{% for one in instances %}\n[{{ one.name }}]\ntoken = {{ one.token }}\n{% endfor %}\n");
    let expected = format!("[a]\ntoken = {token}\n");
    for line in ["output --reveal --template app.conf.jinja", "output --reveal --format template --template app.conf.jinja"] {
        assert_eq!(project.run(line).exits(0).stdout, expected);
    }
    let words = ["output", "--reveal", "--template-text", "{{ by_name.a.token }}"];
    assert_eq!(project.call(words).run().exits(0).stdout, token);
    project.run("output --template app.conf.jinja").exits(1).warns("not defined").warns("--reveal");
    project.run("output --format template").exits(1).warns("no template was named");
    project.run("output --template missing.jinja").exits(1).warns("cannot read missing.jinja");
    project.run("output --template state").exits(1).warns("cannot read state");
    project.run("output --template a --template-text b").exits(1);
    project
        .call(["output", "--template-text", "{{ by_name["])
        .run()
        .exits(1)
        .warns("the template cannot be read")
        .warns("--template-text:1:");
}

#[test]
fn a_template_error_names_the_place_the_word_and_what_there_is() {
    let project = Project::new(&manifest("{kind: emulator}", &["a"]));
    project.run("apply").done();
    project.write("app.jinja", "\u{fc}\n{% for one in instances %}\n\u{fc} {{ one.name }} {{ one.api_ulr }}\n{% endfor %}\n");
    project
        .run("output --template app.jinja")
        .exits(1)
        .warns("app.jinja:3:21: `one.api_ulr` is not defined")
        .warns("did you mean `api_url`?")
        .warns("an instance has `name`, `type`, `id`")
        .done_with("at the top there are `instances`, `by_name`, `format_version`");
    project.write("top.jinja", "{{ instanes }}");
    project.run("output --template top.jinja").exits(1).warns("top.jinja:1:4: `instanes`").done_with("did you mean `instances`?");
    project.write("hidden.jinja", "{{ by_name.a.token }}");
    let hidden =
        project.run("output --template hidden.jinja").exits(1).warns("`by_name.a.token` is not defined").warns("--reveal");
    assert!(!hidden.stderr.contains("did you mean"), "{hidden}");
}
