//! Answers that list keys, without the keys that no path can name.
//!
//! `object_store` ends a whole listing with an error at the first key that its paths cannot hold: one with an empty part, as
//! `a//b.parquet`, or with `.` or `..`. Buckets have such keys, so they are taken out of the answer before it reads it.

use std::ops::Range;

use http::Uri;
use object_store::path::Path;
use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::Event;

/// Whether a request asks for a list of keys: that of S3 and Google, or of Azure.
pub(super) fn asks_for_list(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| matches!(pair, "list-type=2" | "comp=list")))
}

/// An answer without the objects whose keys cannot be paths, and those keys.
pub(super) fn without_unusable_keys(document: &[u8]) -> (Vec<u8>, Vec<String>) {
    let mut rest = Vec::with_capacity(document.len());
    let (mut keys, mut copied) = (Vec::new(), 0);
    for Object { key, range } in objects(document) {
        if !is_path(&key) {
            rest.extend_from_slice(&document[copied..range.start]);
            copied = range.end;
            keys.push(key);
        }
    }
    rest.extend_from_slice(&document[copied..]);
    (rest, keys)
}

/// Whether the client asks for `key` when it is given `key`; it takes a `/` at either end away.
fn is_path(key: &str) -> bool {
    Path::parse(key).is_ok_and(|path| path.as_ref() == key)
}

/// One object of a list.
struct Object {
    key: String,
    /// Its bytes in the document.
    range: Range<usize>,
}

/// The objects of a list; those before the error, if it is no XML. What is wrong with it is for its reader to say.
fn objects(document: &[u8]) -> Vec<Object> {
    let mut reader = Reader::from_reader(document);
    let (mut objects, mut object, mut key) = (Vec::new(), None, None);
    let at = |reader: &Reader<&[u8]>| usize::try_from(reader.buffer_position()).unwrap_or(document.len());
    loop {
        let before = at(&reader);
        match reader.read_event() {
            Ok(Event::Start(tag)) => match tag.name().as_ref() {
                b"Contents" | b"Blob" => object = Some((before, String::new())),
                b"Key" | b"Name" => key = Some(at(&reader)),
                _ => {}
            },
            Ok(Event::End(tag)) => match tag.name().as_ref() {
                b"Key" | b"Name" => {
                    let written = key.take().and_then(|start| std::str::from_utf8(&document[start..before]).ok());
                    if let (Some((_, key)), Some(written)) = (&mut object, written) {
                        *key = unescape(written).map_or_else(|_| written.to_owned(), Into::into);
                    }
                }
                b"Contents" | b"Blob" => {
                    let end = at(&reader);
                    objects.extend(object.take().map(|(start, key)| Object { key, range: start..end }));
                }
                _ => {}
            },
            Ok(Event::Eof) | Err(_) => return objects,
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_cannot_be_paths_are_taken_out_of_lists() {
        let s3 = |keys: &[&str]| {
            let contents: String = keys
                .iter()
                .map(|key| format!("<Contents><Key>{key}</Key><Owner><ID>o</ID></Owner><Size>1</Size></Contents>"))
                .collect();
            format!(
                "<?xml version=\"1.0\"?><ListBucketResult><Name>b//c</Name>{contents}<KeyCount>9</KeyCount></ListBucketResult>"
            )
        };
        let all = ["a/b.parquet", "a//b.parquet", "a&amp;b", "../x", "a/./b", "/a", "a/", "c&#47;&#47;d", "d"];
        let (rest, keys) = without_unusable_keys(s3(&all).as_bytes());
        assert_eq!(String::from_utf8_lossy(&rest), s3(&["a/b.parquet", "a&amp;b", "d"]));
        assert_eq!(keys, ["a//b.parquet", "../x", "a/./b", "/a", "a/", "c//d"]);

        let azure = |names: &[&str]| {
            let blobs: String =
                names.iter().map(|name| format!("<Blob><Name>{name}</Name><Properties/></Blob>")).collect();
            format!("<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker/></EnumerationResults>")
        };
        let (rest, keys) = without_unusable_keys(azure(&["x", "x//y"]).as_bytes());
        assert_eq!((String::from_utf8_lossy(&rest).as_ref(), &*keys), (&*azure(&["x"]), &["x//y".to_owned()][..]));
    }

    #[test]
    fn what_is_no_list_stays_as_it_is() {
        for text in ["", "<", "<a><Contents><Key>x//y</Key>", "not XML", "<Contents><Key>&bad;</Key></Contents>"] {
            assert_eq!(without_unusable_keys(text.as_bytes()).0, text.as_bytes(), "{text}");
        }
    }

    #[test]
    fn lists_are_known_by_their_query() {
        let asks = |uri: &str| asks_for_list(&uri.parse().expect("a URI"));
        assert!(asks("http://h/b?list-type=2&prefix=a%2F") && asks("http://h/b?restype=container&comp=list"));
        assert!(!asks("http://h/b/list-type=2") && !asks("http://h/b?comp=blocklist"));
    }
}
