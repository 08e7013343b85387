//! Generated columns computed here: a file holds their values like any others, and sources do not send them.

use std::borrow::Cow;
use std::cmp::Ordering;

use metaferry_domain::row_batch::Cell;
use metaferry_domain::schema::{Dialect, Table};
use sqlparser::ast::{
    BinaryOperator, CaseWhen, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    UnaryOperator, Value,
};

use super::relations::folded;
use super::{Kind, Untranslatable};

/// A computed value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Computed<'a> {
    /// NULL.
    Null,
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Text.
    Text(Cow<'a, str>),
}

/// A generated column's expression, ready to run over rows.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    root: Node,
    columns: Vec<usize>,
}

#[derive(Debug, Clone)]
enum Node {
    Constant(Computed<'static>),
    Column(usize),
    Case {
        operand: Option<Box<Node>>,
        branches: Vec<(Node, Node)>,
        otherwise: Option<Box<Node>>,
    },
    Compare(Comparison, Box<Node>, Box<Node>),
    IsNull(Box<Node>, Wanted),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Is(Box<Node>, bool, Wanted),
    Coalesce(Vec<Node>),
    Concatenate(Box<Node>, Box<Node>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
}

/// IS or IS NOT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Yes,
    No,
}

impl Program {
    /// The columns it reads, by position in the table.
    pub(crate) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The value for a row whose cells `cell` answers by position in the table. `Err` names a cell of a form
    /// that the expression cannot mean.
    pub(crate) fn run<'a>(&'a self, cell: &impl Fn(usize) -> Cell<'a>) -> Result<Computed<'a>, String> {
        self.root.run(cell)
    }
}

/// The program of an expression over `table`.
pub(super) fn compile(expression: &Expr, table: &Table, dialect: Dialect) -> Result<Program, Untranslatable> {
    let mut compiler = Compiler {
        table,
        dialect,
        columns: Vec::new(),
    };
    let root = compiler.node(expression)?;
    Ok(Program {
        root,
        columns: compiler.columns,
    })
}

struct Compiler<'a> {
    table: &'a Table,
    dialect: Dialect,
    columns: Vec<usize>,
}

impl Compiler<'_> {
    fn node(&mut self, expression: &Expr) -> Result<Node, Untranslatable> {
        Ok(match expression {
            Expr::Nested(inner) => self.node(inner)?,
            Expr::Identifier(name) => {
                let spelled = match (self.dialect, name.quote_style) {
                    (Dialect::H2, None) => name.value.to_uppercase(),
                    _ => folded(name),
                };
                let position = self
                    .table
                    .columns
                    .iter()
                    .position(|column| column.name.as_str() == spelled);
                let position = position.ok_or_else(|| Untranslatable::new(format!("the name {name}")))?;
                match Kind::of(&self.table.columns[position].data_type) {
                    Kind::Boolean | Kind::Integer | Kind::Text | Kind::Padded => {}
                    other => return Err(Untranslatable::new(format!("column {name} of {other:?}"))),
                }
                self.columns.push(position);
                Node::Column(position)
            }
            Expr::Value(value) => Node::Constant(match &value.value {
                Value::Null => Computed::Null,
                Value::Boolean(value) => Computed::Boolean(*value),
                Value::SingleQuotedString(text) => Computed::Text(Cow::Owned(text.clone())),
                Value::Number(digits, _) => match digits.parse() {
                    Ok(number) => Computed::Integer(number),
                    Err(_) => return Err(Untranslatable::new(format!("the number {digits}"))),
                },
                other => return Err(Untranslatable::new(format!("the literal {other}"))),
            }),
            Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => Node::Case {
                operand: self.boxed_option(operand.as_deref())?,
                branches: conditions
                    .iter()
                    .map(|CaseWhen { condition, result }| Ok((self.node(condition)?, self.node(result)?)))
                    .collect::<Result<_, Untranslatable>>()?,
                otherwise: self.boxed_option(else_result.as_deref())?,
            },
            Expr::BinaryOp { left, op, right } => {
                let (left, right) = (self.boxed(left)?, self.boxed(right)?);
                match op {
                    BinaryOperator::Eq => Node::Compare(Comparison::Equal, left, right),
                    BinaryOperator::NotEq => Node::Compare(Comparison::Unequal, left, right),
                    BinaryOperator::And => Node::And(left, right),
                    BinaryOperator::Or => Node::Or(left, right),
                    BinaryOperator::StringConcat => Node::Concatenate(left, right),
                    other => return Err(Untranslatable::new(format!("the operator {other}"))),
                }
            }
            Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr,
            } => Node::Not(self.boxed(expr)?),
            Expr::IsNull(inner) => Node::IsNull(self.boxed(inner)?, Wanted::Yes),
            Expr::IsNotNull(inner) => Node::IsNull(self.boxed(inner)?, Wanted::No),
            Expr::IsTrue(inner) => Node::Is(self.boxed(inner)?, true, Wanted::Yes),
            Expr::IsNotTrue(inner) => Node::Is(self.boxed(inner)?, true, Wanted::No),
            Expr::IsFalse(inner) => Node::Is(self.boxed(inner)?, false, Wanted::Yes),
            Expr::IsNotFalse(inner) => Node::Is(self.boxed(inner)?, false, Wanted::No),
            // Cells come in one form per family, so these casts change nothing.
            Expr::Cast { expr, data_type, .. } if is_text(data_type) && self.is_textual(expr) => {
                self.node(expr)?
            }
            Expr::Cast { expr, data_type, .. } if is_integer(data_type) && is_null(expr) => {
                self.node(expr)?
            }
            Expr::Function(call) => self.function(call)?,
            other => return Err(Untranslatable::new(format!("\"{other}\""))),
        })
    }

    fn boxed(&mut self, expression: &Expr) -> Result<Box<Node>, Untranslatable> {
        self.node(expression).map(Box::new)
    }

    fn boxed_option(&mut self, expression: Option<&Expr>) -> Result<Option<Box<Node>>, Untranslatable> {
        expression.map(|expression| self.boxed(expression)).transpose()
    }

    fn function(&mut self, call: &Function) -> Result<Node, Untranslatable> {
        let refuse = || Untranslatable::new(format!("the function \"{call}\""));
        if !call.name.to_string().eq_ignore_ascii_case("coalesce") {
            return Err(refuse());
        }
        let FunctionArguments::List(list) = &call.args else {
            return Err(refuse());
        };
        let nodes = list.args.iter().map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => self.node(expression),
            _ => Err(refuse()),
        });
        Ok(Node::Coalesce(nodes.collect::<Result<_, _>>()?))
    }

    /// Text, or NULL.
    fn is_textual(&self, expression: &Expr) -> bool {
        match expression {
            Expr::Nested(inner) => self.is_textual(inner),
            Expr::Cast { expr, data_type, .. } => is_text(data_type) && self.is_textual(expr),
            Expr::Identifier(name) => {
                let column = self
                    .table
                    .columns
                    .iter()
                    .find(|column| column.name.as_str() == folded(name));
                column.is_some_and(|column| matches!(Kind::of(&column.data_type), Kind::Text | Kind::Padded))
            }
            Expr::Value(value) => matches!(&value.value, Value::Null | Value::SingleQuotedString(_)),
            _ => false,
        }
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Text
            | DataType::CharacterVarying(None)
            | DataType::Varchar(None)
            | DataType::CharVarying(None)
    )
}

fn is_integer(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int(None) | DataType::Integer(None) | DataType::BigInt(None) | DataType::SmallInt(None)
    )
}

fn is_null(expression: &Expr) -> bool {
    matches!(expression, Expr::Value(value) if value.value == Value::Null)
}

impl Node {
    fn run<'a>(&'a self, cell: &impl Fn(usize) -> Cell<'a>) -> Result<Computed<'a>, String> {
        Ok(match self {
            Self::Constant(value) => value.clone(),
            Self::Column(position) => match cell(*position) {
                Cell::Null => Computed::Null,
                Cell::Boolean(value) => Computed::Boolean(value),
                Cell::Int(value) => Computed::Integer(value),
                Cell::Text(value) => Computed::Text(Cow::Borrowed(value)),
                other => return Err(format!("{other:?}")),
            },
            Self::Case {
                operand,
                branches,
                otherwise,
            } => {
                let operand = operand.as_deref().map(|operand| operand.run(cell)).transpose()?;
                for (condition, result) in branches {
                    let condition = condition.run(cell)?;
                    let holds = match &operand {
                        Some(operand) => compare(operand, &condition)? == Some(Ordering::Equal),
                        None => truth(&condition)? == Some(true),
                    };
                    if holds {
                        return result.run(cell);
                    }
                }
                match otherwise {
                    Some(otherwise) => otherwise.run(cell)?,
                    None => Computed::Null,
                }
            }
            Self::Compare(comparison, left, right) => {
                let order = compare(&left.run(cell)?, &right.run(cell)?)?;
                let holds = |order| match comparison {
                    Comparison::Equal => order == Ordering::Equal,
                    Comparison::Unequal => order != Ordering::Equal,
                };
                order.map_or(Computed::Null, |order| Computed::Boolean(holds(order)))
            }
            Self::IsNull(inner, wanted) => {
                Computed::Boolean((inner.run(cell)? == Computed::Null) == (*wanted == Wanted::Yes))
            }
            Self::Is(inner, value, wanted) => {
                Computed::Boolean((truth(&inner.run(cell)?)? == Some(*value)) == (*wanted == Wanted::Yes))
            }
            Self::And(left, right) => match (truth(&left.run(cell)?)?, truth(&right.run(cell)?)?) {
                (Some(false), _) | (_, Some(false)) => Computed::Boolean(false),
                (Some(true), Some(true)) => Computed::Boolean(true),
                _ => Computed::Null,
            },
            Self::Or(left, right) => match (truth(&left.run(cell)?)?, truth(&right.run(cell)?)?) {
                (Some(true), _) | (_, Some(true)) => Computed::Boolean(true),
                (Some(false), Some(false)) => Computed::Boolean(false),
                _ => Computed::Null,
            },
            Self::Not(inner) => {
                truth(&inner.run(cell)?)?.map_or(Computed::Null, |value| Computed::Boolean(!value))
            }
            Self::Coalesce(nodes) => {
                for node in nodes {
                    match node.run(cell)? {
                        Computed::Null => {}
                        value => return Ok(value),
                    }
                }
                Computed::Null
            }
            Self::Concatenate(left, right) => match (left.run(cell)?, right.run(cell)?) {
                (Computed::Null, _) | (_, Computed::Null) => Computed::Null,
                (left, right) => Computed::Text(Cow::Owned(format!("{}{}", words(&left)?, words(&right)?))),
            },
        })
    }
}

fn truth(value: &Computed<'_>) -> Result<Option<bool>, String> {
    match value {
        Computed::Null => Ok(None),
        Computed::Boolean(value) => Ok(Some(*value)),
        Computed::Integer(_) | Computed::Text(_) => Err(format!("{value:?} as a condition")),
    }
}

fn compare(left: &Computed<'_>, right: &Computed<'_>) -> Result<Option<Ordering>, String> {
    match (left, right) {
        (Computed::Null, _) | (_, Computed::Null) => Ok(None),
        (Computed::Boolean(left), Computed::Boolean(right)) => Ok(Some(left.cmp(right))),
        (Computed::Integer(left), Computed::Integer(right)) => Ok(Some(left.cmp(right))),
        (Computed::Text(left), Computed::Text(right)) => Ok(Some(left.cmp(right))),
        _ => Err(format!("{left:?} compared with {right:?}")),
    }
}

fn words(value: &Computed<'_>) -> Result<String, String> {
    match value {
        Computed::Integer(number) => Ok(number.to_string()),
        Computed::Text(text) => Ok(text.clone().into_owned()),
        Computed::Null | Computed::Boolean(_) => Err(format!("{value:?} in a concatenation")),
    }
}
