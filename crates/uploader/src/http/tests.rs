use super::*;

#[test]
fn dates_are_seconds_since_1970() {
    // From RFC 9110 and `date -u -d … +%s`.
    assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
    assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
    assert_eq!(http_date("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
    assert_eq!(http_date("Thu, 26 Nov 2026 11:00:00 GMT"), Some(1_795_690_800));
    for bad in [
        "",
        "soon",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994",
        "Sun, 00 Nov 1994 08:49:37 GMT",
    ] {
        assert_eq!(http_date(bad), None, "{bad}");
    }
}

#[test]
fn retry_after_is_seconds_or_a_date_by_the_answers_own_clock() {
    let answer = |pairs: &[(&'static str, &'static str)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, http::HeaderValue::from_static(value));
        }
        retry_after(&headers)
    };
    assert_eq!(answer(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
    let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(
        answer(&[date, ("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")]),
        Some(Duration::from_secs(30))
    );
    assert_eq!(
        answer(&[date, ("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")]),
        Some(Duration::ZERO)
    );
    assert_eq!(answer(&[("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")]), None);
    assert_eq!(answer(&[("retry-after", "-1")]), None);
    assert_eq!(answer(&[]), None);
}

#[test]
fn codes_are_found_and_nothing_else_is_shown() {
    let s3 = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
    assert_eq!(error_code(s3).as_deref(), Some("AccessDenied"));
    assert_eq!(
        error_code("signature_expired: this URL has expired").as_deref(),
        Some("signature_expired")
    );
    assert_eq!(error_code("<html>oops: no</html>"), None);
    assert_eq!(error_code("<Code>X-Amz-Signature=abc&</Code>"), None);
    assert_eq!(error_code(""), None);
}

#[test]
fn kinds_follow_status_and_code() {
    for (status, code, kind) in [
        (400, Some("BadDigest"), ErrorKind::Corrupt),
        (400, Some("InvalidPart"), ErrorKind::Precondition),
        (400, None, ErrorKind::Precondition),
        (301, None, ErrorKind::Precondition),
        (403, Some("AccessDenied"), ErrorKind::Denied),
        (404, Some("NoSuchUpload"), ErrorKind::NotFound),
        (408, None, ErrorKind::Unavailable),
        (409, None, ErrorKind::Conflict),
        (409, Some("OperationAborted"), ErrorKind::Unavailable),
        (413, None, ErrorKind::Exhausted),
        (429, None, ErrorKind::Unavailable),
        (500, None, ErrorKind::Unavailable),
        (501, None, ErrorKind::Unsupported),
        (503, Some("SlowDown"), ErrorKind::Unavailable),
        (507, None, ErrorKind::Exhausted),
    ] {
        assert_eq!(kind_of(status, code), kind, "{status} {code:?}");
    }
}
