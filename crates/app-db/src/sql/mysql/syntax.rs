//! Pieces of a syntax tree: how they are made, and what they are seen to be.

use sqlparser::ast::{
    DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, ObjectNamePart, Select, SelectItem, SetExpr, Value,
};

/// `substring_index(substring_index(SUBJECT, DELIMITER, N), DELIMITER, -1)`.
pub(super) fn nth_field(list: &FunctionArgumentList) -> Option<(&Expr, String, String)> {
    let [inner, delimiter, last] = plain_arguments(list)?;
    let Expr::Function(inner) = inner else { return None };
    let FunctionArguments::List(inner_list) = &inner.args else {
        return None;
    };
    if !inner.name.to_string().eq_ignore_ascii_case("substring_index") || last.to_string() != "-1" {
        return None;
    }
    let [subject, same_delimiter, field] = plain_arguments(inner_list)?;
    let (delimiter, field) = (literal(delimiter)?, field.to_string());
    let is_count = field.parse::<u8>().is_ok_and(|field| field > 0);
    (literal(same_delimiter)? == delimiter && is_count).then_some((subject, delimiter, field))
}

pub(super) fn plain_arguments(list: &FunctionArgumentList) -> Option<[&Expr; 3]> {
    let arguments: Option<Vec<&Expr>> = list
        .args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression),
            _ => None,
        })
        .collect();
    arguments?.try_into().ok()
}

pub(super) fn literal(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn is_float(expression: &Expr) -> bool {
    match expression {
        Expr::Nested(inner) => is_float(inner),
        Expr::Cast { data_type, .. } => matches!(data_type, DataType::DoublePrecision),
        _ => false,
    }
}

/// 0 or 1.
pub(super) fn digit(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Nested(inner) => digit(inner),
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) if digits == "0" || digits == "1" => Some(digits.clone()),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn is_null(expression: &Expr) -> bool {
    matches!(expression, Expr::Value(value) if value.value == Value::Null)
}

/// 0 and 1 as what they mean.
pub(super) fn as_boolean(expression: &mut Expr) {
    if let Some(digits) = digit(expression) {
        *expression = constant(Value::Boolean(digits == "1"));
    }
}

pub(super) fn constant(value: Value) -> Expr {
    Expr::Value(value.with_empty_span())
}

pub(super) fn text(text: String) -> Expr {
    constant(Value::SingleQuotedString(text))
}

pub(super) fn unnamed(expression: Expr) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(expression))
}

pub(super) fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new(name))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.into_iter().map(unnamed).collect(),
            clauses: Vec::new(),
        }),
        within_group: Vec::new(),
        filter: None,
        null_treatment: None,
        over: None,
    })
}

/// All plain SELECTs of a set operation, left to right.
pub(super) fn selects<'a>(body: &'a mut SetExpr, found: &mut Vec<&'a mut Select>) {
    match body {
        SetExpr::Select(select) => found.push(select),
        SetExpr::Query(query) => selects(&mut query.body, found),
        SetExpr::SetOperation { left, right, .. } => {
            selects(left, found);
            selects(right, found);
        }
        _ => {}
    }
}

pub(super) fn projected(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expression) | SelectItem::ExprWithAlias { expr: expression, .. } => {
            Some(expression)
        }
        _ => None,
    }
}

pub(super) fn projected_mut(item: &mut SelectItem) -> Option<&mut Expr> {
    match item {
        SelectItem::UnnamedExpr(expression) | SelectItem::ExprWithAlias { expr: expression, .. } => {
            Some(expression)
        }
        _ => None,
    }
}
