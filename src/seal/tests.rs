use super::*;

const ABOUT: About<'_> = About { what: "token", lineage: "l1", name: "eu", attempt: "a-1" };

fn keys(count: usize) -> (Vec<Identity>, Recipients) {
    let identities: Vec<_> = (0..count).map(|_| Identity::generate().unwrap()).collect();
    let recipients = Recipients::new(identities.iter().map(|identity| identity.recipient().unwrap())).unwrap();
    (identities, recipients)
}

#[test]
fn each_recipient_opens_it_and_nobody_else() {
    let (identities, recipients) = keys(3);
    let sealed = Sealed::seal(b"token-1", &recipients, &ABOUT).unwrap();
    for identity in identities {
        assert_eq!(*sealed.open(&[identity], &ABOUT).unwrap(), b"token-1");
    }
    let (others, _) = keys(2);
    assert!(matches!(sealed.open(&others, &ABOUT), Err(OpenError::NotForUs(to)) if to.len() == 3));
    assert_eq!(Sealed::seal(b"x", &Recipients::none(), &ABOUT), Err(SealError::Nobody));
}

#[test]
fn t22_it_opens_only_under_the_words_that_it_was_sealed_under() {
    let (identities, recipients) = keys(1);
    let sealed = Sealed::seal(b"token-1", &recipients, &ABOUT).unwrap();
    for other in [
        About { what: "answer", ..ABOUT },
        About { lineage: "l2", ..ABOUT },
        About { name: "fr", ..ABOUT },
        About { attempt: "a-2", ..ABOUT },
        // The same letters, cut elsewhere.
        About { name: "eua", attempt: "-1", ..ABOUT },
    ] {
        assert_eq!(sealed.open(&identities, &other), Err(OpenError::Altered), "{other:?}");
    }
}

#[test]
fn f11_no_changed_byte_goes_unseen_and_no_part_of_another_one_fits() {
    let (identities, recipients) = keys(1);
    let text = serde_json::to_string(&Sealed::seal(b"token-1", &recipients, &ABOUT).unwrap()).unwrap();
    let mut refused = 0;
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let Ok(changed) = serde_json::from_slice::<Sealed>(&bytes) else {
                refused += 1;
                continue;
            };
            if let Ok(opened) = changed.open(&identities, &ABOUT) {
                panic!("bit {bit} of byte {at} changed and it opened as {} bytes", opened.len());
            }
            refused += 1;
        }
    }
    assert_eq!(refused, text.len() * 8);
    let other = Sealed::seal(b"token-2", &recipients, &ABOUT).unwrap();
    let mut mixed: serde_json::Value = serde_json::from_str(&text).unwrap();
    mixed["text"] = serde_json::to_value(&other).unwrap()["text"].clone();
    let mixed: Sealed = serde_json::from_value(mixed).unwrap();
    assert_eq!(mixed.open(&identities, &ABOUT), Err(OpenError::Altered));
}

#[test]
fn p11_nothing_of_the_text_is_in_the_envelope_and_two_of_one_text_differ() {
    let (_, recipients) = keys(2);
    let [one, two] = [(); 2].map(|()| Sealed::seal(b"token-0123456789", &recipients, &ABOUT).unwrap());
    assert_ne!(one, two);
    let shown = format!("{one:?}{}", serde_json::to_string(&one).unwrap());
    assert!(!shown.contains("token-0123456789"));
}

#[test]
fn keys_survive_their_text_and_a_mistyped_one_is_refused() {
    let identity = Identity::generate().unwrap();
    let public = identity.recipient().unwrap();
    assert_eq!(public.to_string().parse(), Ok(public));
    let secret = identity.to_secret();
    let again: Identity = secret.expose().parse().unwrap();
    assert_eq!(again.recipient(), Ok(public));
    assert_eq!(format!("{identity:?}"), "[redacted]");
    let mut typed = public.to_string().into_bytes();
    for at in "chatapi-pub1-".len()..typed.len() {
        let right = typed[at];
        typed[at] = if right == b'A' { b'B' } else { b'A' };
        assert!(String::from_utf8(typed.clone()).unwrap().parse::<Recipient>().is_err(), "at {at}");
        typed[at] = right;
    }
    assert_eq!(secret.expose().parse::<Recipient>(), Err(KeyError::SecretForPublic));
    assert_eq!("age1xyz".parse::<Recipient>(), Err(KeyError::NotPublic));
    assert!(matches!(public.to_string().parse::<Identity>(), Err(KeyError::NotSecret)));
    assert_eq!(Recipient::unchecked([0; 32]).to_string().parse::<Recipient>(), Err(KeyError::Unusable));
}

#[test]
fn a_file_of_keys_may_have_comments_and_must_have_a_key() {
    let [one, two] = [(); 2].map(|()| Identity::generate().unwrap());
    let text = format!("# ours\n\n{}\n  {}  \n", one.to_secret().expose(), two.to_secret().expose());
    assert_eq!(Identity::read_all(&text).unwrap().len(), 2);
    assert!(matches!(Identity::read_all("# nothing\n"), Err(KeyError::None)));
    assert!(matches!(Identity::read_all("key\n"), Err(KeyError::NotSecret)));
    let (_, many) = keys(16);
    let more = many.iter().chain([one.recipient().unwrap()]);
    assert_eq!(Recipients::new(more), Err(KeyError::TooMany));
}
