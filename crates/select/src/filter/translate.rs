//! Syntax tree → condition: what goes with what.

use sqlparser::ast::{
    BinaryOperator, Expr, Function as Call, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, InTarget,
    UnaryOperator,
};

use super::FilterProblem;
use super::condition::{Arithmetic, Comparison, Condition, Function, Letters, Number, Text};
use super::meaning::{self, Meaning, constant, literal, mismatch, operand_of, shown, unsupported};

/// Operators inside each other, at most; a chain of AND or OR counts as one.
const MOST_DEPTH: usize = 100;

type Result<T> = std::result::Result<T, FilterProblem>;

/// The condition that `expression` says, and the columns that it reads.
pub(super) fn condition(expression: &Expr) -> Result<(Condition, Vec<&'static str>)> {
    let mut translation = Translation { columns: Vec::new(), depth: 0 };
    match translation.meaning(expression)? {
        Meaning::Condition(condition) => Ok((condition, translation.columns)),
        other => Err(FilterProblem::NoCondition { what: shown(expression), got: other.kind() }),
    }
}

struct Translation {
    /// The columns read so far, each once.
    columns: Vec<&'static str>,
    /// How many operators are around the one at hand.
    depth: usize,
}

impl Translation {
    fn meaning(&mut self, expression: &Expr) -> Result<Meaning> {
        if self.depth == MOST_DEPTH {
            return Err(FilterProblem::TooDeep);
        }
        self.depth += 1;
        let meaning = match expression {
            Expr::Nested(inner) => self.meaning(inner),
            Expr::Identifier(name) => self.column(name),
            Expr::Value(value) => literal(&value.value),
            Expr::UnaryOp { op, expr } => self.unary(expression, *op, expr),
            Expr::BinaryOp { left, op, right } => self.binary(expression, left, op, right),
            Expr::Function(call) => self.call(expression, call),
            _ => self.predicate(expression).map(Meaning::Condition),
        };
        self.depth -= 1;
        meaning
    }

    fn column(&mut self, name: &Ident) -> Result<Meaning> {
        let (column, meaning) = meaning::column(name)?;
        if !self.columns.contains(&column) {
            self.columns.push(column);
        }
        Ok(meaning)
    }

    fn unary(&mut self, whole: &Expr, operator: UnaryOperator, operand: &Expr) -> Result<Meaning> {
        match operator {
            UnaryOperator::Not => {
                let condition = self.condition(operand, "NOT")?;
                Ok(Meaning::Condition(Condition::Not(Box::new(condition))))
            }
            UnaryOperator::Plus => self.number(operand, "+").map(Meaning::Number),
            UnaryOperator::Minus => Ok(Meaning::Number(match self.number(operand, "-")? {
                Number::Constant(value) => Number::Constant(-value),
                number => Number::Of(Function::Minus, Box::new(number)),
            })),
            _ => Err(unsupported(whole)),
        }
    }

    fn binary(&mut self, whole: &Expr, left: &Expr, operator: &BinaryOperator, right: &Expr) -> Result<Meaning> {
        let arithmetic = match operator {
            BinaryOperator::And => return Ok(Meaning::Condition(Condition::All(self.chain(whole, operator)?))),
            BinaryOperator::Or => return Ok(Meaning::Condition(Condition::Any(self.chain(whole, operator)?))),
            BinaryOperator::Plus => Arithmetic::Add,
            BinaryOperator::Minus => Arithmetic::Subtract,
            BinaryOperator::Multiply => Arithmetic::Multiply,
            BinaryOperator::Divide => Arithmetic::Divide,
            _ => {
                let comparison = comparison(operator).ok_or_else(|| unsupported(whole))?;
                return self.compare(whole, (left, comparison, right)).map(Meaning::Condition);
            }
        };
        let name = operator.to_string();
        let (left, right) = (self.number(left, &name)?, self.number(right, &name)?);
        Ok(Meaning::Number(Number::Computed(Box::new(left), arithmetic, Box::new(right))))
    }

    /// The terms of `a AND b AND …`, which is parsed as a tree that leans to the left.
    fn chain(&mut self, whole: &Expr, joined_by: &BinaryOperator) -> Result<Vec<Condition>> {
        let (mut terms, mut rest) = (Vec::new(), whole);
        while let Expr::BinaryOp { left, op, right } = rest
            && op == joined_by
        {
            terms.push(&**right);
            rest = left;
        }
        terms.push(rest);
        let name = joined_by.to_string();
        terms.into_iter().rev().map(|term| self.condition(term, &name)).collect()
    }

    fn compare(&mut self, whole: &Expr, (left, comparison, right): (&Expr, Comparison, &Expr)) -> Result<Condition> {
        match (self.meaning(left)?, self.meaning(right)?) {
            (Meaning::Number(a), Meaning::Number(b)) if !a.is_constant() || !b.is_constant() => {
                Ok(Condition::Numbers(a, comparison, b))
            }
            (Meaning::Text(a), Meaning::Text(b)) if !a.is_constant() || !b.is_constant() => {
                Ok(Condition::Texts(a, comparison, b))
            }
            (Meaning::Number(_), Meaning::Number(_)) | (Meaning::Text(_), Meaning::Text(_)) => Err(constant(whole)),
            (a, b) => Err(mismatch((left, &a), (right, &b))),
        }
    }

    /// The conditions that are no operators between two values.
    fn predicate(&mut self, whole: &Expr) -> Result<Condition> {
        let (condition, negated) = match whole {
            Expr::Between { expr, negated, low, high } => {
                let from = self.compare(whole, (expr, Comparison::GreaterOrEqual, low))?;
                let to = self.compare(whole, (expr, Comparison::LessOrEqual, high))?;
                (Condition::All(vec![from, to]), *negated)
            }
            Expr::In { expr, target: InTarget::List(list), negated, global: false } => {
                (self.one_of(whole, expr, list)?, *negated)
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char: None } => {
                (self.like(whole, expr, Letters::Exact, pattern)?, *negated)
            }
            Expr::ILike { negated, any: false, expr, pattern, escape_char: None } => {
                (self.like(whole, expr, Letters::AnyCase, pattern)?, *negated)
            }
            Expr::IsNull(expr) => (self.is_null(whole, expr)?, false),
            Expr::IsNotNull(expr) => (self.is_null(whole, expr)?, true),
            _ => return Err(unsupported(whole)),
        };
        Ok(if negated { Condition::Not(Box::new(condition)) } else { condition })
    }

    fn one_of(&mut self, whole: &Expr, operand: &Expr, list: &[Expr]) -> Result<Condition> {
        let meaning = self.meaning(operand)?;
        match &meaning {
            Meaning::Number(number) if !number.is_constant() => {
                let mut values = Vec::with_capacity(list.len());
                for listed in list {
                    match self.meaning(listed)? {
                        // no zero has a sign, here and where values are computed
                        Meaning::Number(Number::Constant(value)) => values.push(value + 0.0),
                        Meaning::Number(_) => return Err(unsupported(whole)),
                        other => return Err(mismatch((operand, &meaning), (listed, &other))),
                    }
                }
                values.sort_by(f64::total_cmp);
                Ok(Condition::NumberIn(number.clone(), values))
            }
            Meaning::Text(Text::Column(column)) => {
                let texts = list.iter().map(|listed| match self.meaning(listed)? {
                    Meaning::Text(Text::Constant(text)) => Ok(text),
                    Meaning::Text(Text::Column(_)) => Err(unsupported(whole)),
                    other => Err(mismatch((operand, &meaning), (listed, &other))),
                });
                Ok(Condition::TextIn(column, texts.collect::<Result<_>>()?))
            }
            Meaning::Condition(_) => Err(operand_of("IN", "a number or text", (operand, &meaning))),
            Meaning::Number(_) | Meaning::Text(_) => Err(constant(whole)),
        }
    }

    fn like(&mut self, whole: &Expr, operand: &Expr, letters: Letters, pattern: &Expr) -> Result<Condition> {
        let pattern = match self.meaning(pattern)? {
            Meaning::Text(Text::Constant(pattern)) => pattern,
            Meaning::Text(Text::Column(_)) => return Err(unsupported(whole)),
            other => return Err(operand_of("LIKE", "text", (pattern, &other))),
        };
        match self.meaning(operand)? {
            Meaning::Text(Text::Column(column)) => Ok(Condition::Like(column, letters, pattern)),
            Meaning::Text(Text::Constant(_)) => Err(constant(whole)),
            other => Err(operand_of("LIKE", "text", (operand, &other))),
        }
    }

    fn is_null(&mut self, whole: &Expr, operand: &Expr) -> Result<Condition> {
        match self.meaning(operand)? {
            Meaning::Number(number) if !number.is_constant() => Ok(Condition::NumberIsNull(number)),
            Meaning::Text(Text::Column(column)) => Ok(Condition::TextIsNull(column)),
            Meaning::Number(_) | Meaning::Text(_) => Err(constant(whole)),
            other => Err(operand_of("IS NULL", "a number or text", (operand, &other))),
        }
    }

    fn call(&mut self, whole: &Expr, call: &Call) -> Result<Meaning> {
        let function = match call.name.to_string().to_ascii_lowercase().as_str() {
            "ln" => Function::Ln,
            "log10" => Function::Log10,
            "abs" => Function::Abs,
            "sqrt" => Function::Sqrt,
            _ => return Err(unsupported(whole)),
        };
        let argument = only_argument(call).ok_or_else(|| unsupported(whole))?;
        let number = self.number(argument, &call.name.to_string())?;
        Ok(Meaning::Number(Number::Of(function, Box::new(number))))
    }

    fn number(&mut self, expression: &Expr, operator: &str) -> Result<Number> {
        match self.meaning(expression)? {
            Meaning::Number(number) => Ok(number),
            other => Err(operand_of(operator, "numbers", (expression, &other))),
        }
    }

    fn condition(&mut self, expression: &Expr, operator: &str) -> Result<Condition> {
        match self.meaning(expression)? {
            Meaning::Condition(condition) => Ok(condition),
            other => Err(operand_of(operator, "conditions", (expression, &other))),
        }
    }
}

const fn comparison(operator: &BinaryOperator) -> Option<Comparison> {
    Some(match operator {
        BinaryOperator::Eq => Comparison::Equal,
        BinaryOperator::NotEq => Comparison::NotEqual,
        BinaryOperator::Lt => Comparison::Less,
        BinaryOperator::LtEq => Comparison::LessOrEqual,
        BinaryOperator::Gt => Comparison::Greater,
        BinaryOperator::GtEq => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

/// The argument of a call that has one and is nothing more than a call.
fn only_argument(call: &Call) -> Option<&Expr> {
    let is_plain = call.parameters == FunctionArguments::None
        && call.within_group.is_empty()
        && call.filter.is_none()
        && call.null_treatment.is_none()
        && call.over.is_none();
    match &call.args {
        FunctionArguments::List(list) if is_plain && list.duplicate_treatment.is_none() && list.clauses.is_empty() => {
            match list.args.as_slice() {
                [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] => Some(argument),
                _ => None,
            }
        }
        _ => None,
    }
}
