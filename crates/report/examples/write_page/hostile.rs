//! Text that tries to get out of the page, to hide, or to have no end. Every payload that runs sets `window.hacked`.

/// Documents, ids, paths and names that a page must only show.
pub(crate) const PAYLOADS: [&str; 10] = [
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror=\"window.hacked = 2\">",
    "\"><svg onload=window.hacked=3><title>&lt;img src=x onerror=window.hacked=4&gt;",
    "</pre></article></main></body><iframe src=\"javascript:parent.hacked = 5\"></iframe>",
    "<style>* { display: none }</style><link rel=stylesheet href=\"https://example.org/x.css\">",
    "<!-- --!> <![CDATA[ ]]> <plaintext> <textarea> <template>",
    "' onmouseover='window.hacked=6' autofocus onfocus='window.hacked=7",
    "javascript:window.hacked=8 {{constructor.constructor('window.hacked=9')()}} ${window.hacked=10}",
    "nul \0 bell \u{7} escape \u{1b}[31mred\u{1b}[0m carriage\r\nreturn delete \u{7f} next line \u{85} byte order mark \u{feff}",
    "user\u{202e}gpj.exe\u{202c} \u{2066}isolated\u{2069} \u{200f}mark tag \u{e0041}\u{e0042} z\u{363}\u{35c}\u{327}\u{321}a\u{315}\u{34e}l\u{36b}g\u{322}o",
];

/// One line of a megabyte.
pub(crate) fn endless() -> String {
    "endless".repeat(150_000)
}

/// Arabic, Hebrew, Chinese and emoji, which must read as they are.
pub(crate) const SCRIPTS: &str =
    "السلام عليكم ورحمة الله. שלום עולם. 大規模言語モデルの事前学習。 👩\u{200d}🔬 naïve café – “quotes”.";
