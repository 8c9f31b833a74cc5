//! Text → syntax tree, within limits.
//!
//! The parser bounds how deep brackets nest, but a chain (`a OR b OR …`) becomes a tree as deep as it is long, and dropping that
//! recurses: so chains are bounded here, before they are parsed.

use sqlparser::ast::Expr;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, Tokenizer};

use super::FilterProblem;
use super::problem::beginning;

/// Names, operators and brackets of a filter, at most. Literals and commas are not counted: a list may be long.
pub(super) const MOST_WORDS: usize = 1000;

/// Characters of a leftover that an error shows.
const SHOWN_CHARS: usize = 40;

/// Reads `text` as one expression.
pub(super) fn expression(text: &str) -> Result<Expr, FilterProblem> {
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize_with_location();
    let tokens = tokens.map_err(|error| FilterProblem::Syntax { problem: plainly(&error.to_string()) })?;
    if tokens.iter().all(|token| matches!(token.token, Token::Whitespace(_) | Token::EOF)) {
        return Err(FilterProblem::Empty);
    }
    let words = tokens.iter().filter(|token| is_word(&token.token)).count();
    if words > MOST_WORDS {
        return Err(FilterProblem::TooLong { got: words, limit: MOST_WORDS });
    }
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
    let expression = parser.parse_expr().map_err(|error| match error {
        ParserError::RecursionLimitExceeded => FilterProblem::TooDeep,
        ParserError::TokenizerError(problem) | ParserError::ParserError(problem) => {
            FilterProblem::Syntax { problem: plainly(&problem) }
        }
    })?;
    let next = parser.peek_token();
    match next.token {
        Token::EOF => Ok(expression),
        found => Err(FilterProblem::Trailing {
            found: beginning(&found.to_string(), SHOWN_CHARS),
            line: next.span.start.line,
            column: next.span.start.column,
        }),
    }
}

fn is_word(token: &Token) -> bool {
    !matches!(
        token,
        Token::Whitespace(_) | Token::Comma | Token::Number(..) | Token::SingleQuotedString(_) | Token::EOF
    )
}

/// The parser's "Expected: x, found: y at Line: 1, Column: 2" in the words of our errors.
fn plainly(problem: &str) -> String {
    let problem = problem.replace("Expected: ", "expected ").replace(", found: EOF", ", found the end");
    let problem = problem.replace(", found: ", ", found ");
    let problem = problem.replace(" at Line: ", " at line ").replace(", Column: ", ", column ");
    let mut characters = problem.chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}
