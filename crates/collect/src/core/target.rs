//! A request target: which route, which token, which query.

/// Where a request goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route<'a> {
    /// `/c/<token>`: a signed link.
    Click(&'a str),
    /// `/l/<slug>`: a registered link.
    Link(&'a str),
    /// `/i/<token>`: an impression pixel.
    Pixel(&'a str),
    /// `/v1/events`: a batch.
    Events,
    /// `/healthz`: the process is alive.
    Healthz,
    /// `/readyz`: it can take clicks.
    Readyz,
    /// Anything else.
    Unknown,
}

/// A target in its parts, undecoded: a percent-encoded spelling of a route or token is another
/// one, so that each has one spelling only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target<'a> {
    /// Where it goes.
    pub route: Route<'a>,
    /// What follows the `?`.
    pub query: &'a str,
}

impl<'a> Target<'a> {
    /// Splits path and query.
    pub fn parse(target: &'a str) -> Target<'a> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let route = if let Some(token) = path.strip_prefix("/c/") {
            Route::Click(token)
        } else if let Some(slug) = path.strip_prefix("/l/") {
            Route::Link(slug)
        } else if let Some(token) = path.strip_prefix("/i/") {
            Route::Pixel(token)
        } else {
            match path {
                "/v1/events" => Route::Events,
                "/healthz" => Route::Healthz,
                "/readyz" => Route::Readyz,
                _ => Route::Unknown,
            }
        };
        Target { route, query }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_has_one_spelling() {
        let rows = [
            ("/c/abc?sub1=x?y", Route::Click("abc"), "sub1=x?y"),
            ("/l/", Route::Link(""), ""),
            ("/i/a/b", Route::Pixel("a/b"), ""),
            ("/v1/events", Route::Events, ""),
            ("/readyz?x", Route::Readyz, "x"),
            ("/C/abc", Route::Unknown, ""),
            ("/%63/abc", Route::Unknown, ""),
            ("//c/abc", Route::Unknown, ""),
            ("/v1/events/", Route::Unknown, ""),
        ];
        for (target, route, query) in rows {
            assert_eq!(Target::parse(target), Target { route, query }, "{target}");
        }
    }
}
