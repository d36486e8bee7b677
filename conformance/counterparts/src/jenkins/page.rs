//! The pages of Jenkins which are not JSON: refusals, and a page for people which says that it is simulated.

use crate::http::{Reply, Request, encode_segment, escape_html};
use hyper::StatusCode;

/// An error as the servlet container of Jenkins shows it.
pub(crate) fn error_page(status: StatusCode, message: &str) -> Reply {
    let reason = status.canonical_reason().unwrap_or_default();
    let message = escape_html(message);
    let code = status.as_u16();
    Reply::html(
        status,
        format!(
            "<html>\n<head>\n<meta http-equiv=\"Content-Type\" content=\"text/html;charset=ISO-8859-1\"/>\n\
             <title>Error {code} {reason}</title>\n</head>\n<body><h2>HTTP ERROR {code} {message}</h2>\n\
             <table>\n<tr><th>STATUS:</th><td>{code}</td></tr>\n<tr><th>MESSAGE:</th><td>{message}</td></tr>\n\
             </table>\n<hr/><i>windlass-simulator (simulated Jenkins)</i><hr/>\n</body>\n</html>\n"
        ),
    )
}

/// What a caller with a wrong credential gets.
pub(crate) fn unauthorised(user: &str) -> Reply {
    error_page(StatusCode::UNAUTHORIZED, &format!("Invalid password/token for user: {user}"))
        .with("www-authenticate", "Basic realm=\"Jenkins\"")
}

/// What a caller without any credential gets: Jenkins answers 403 and a way to the login form.
pub(crate) fn forbidden(request: &Request) -> Reply {
    let from = encode_segment(&request.path);
    Reply::html(
        StatusCode::FORBIDDEN,
        format!(
            "<html><head><meta http-equiv='refresh' content='1;url=/login?from={from}'/>\
             <script>window.location.replace('/login?from={from}');</script></head>\
             <body style='background-color:white; color:white;'>Authentication required\n\
             <!--\nYou are authenticated as: anonymous\nGroups that you are in:\n  \n\
             Permission you need to have (but didn't): hudson.model.Hudson.Read\n-->\n</body></html>"
        ),
    )
    .with("x-you-are-authenticated-as", "anonymous")
    .with("x-required-permission", "hudson.model.Hudson.Read")
}

/// A page for people.
pub(crate) fn page(title: &str, text: &str) -> Reply {
    let title = escape_html(title);
    Reply::html(
        StatusCode::OK,
        format!(
            "<!DOCTYPE html><html><head><title>{title} [simulated Jenkins]</title></head><body>\
             <h1>{title}</h1><p><b>This is a simulator, not Jenkins.</b></p><pre>{}</pre></body></html>",
            escape_html(text)
        ),
    )
}

pub(crate) fn not_found() -> Reply {
    error_page(StatusCode::NOT_FOUND, "Not Found")
}
