//! Functions that have another name elsewhere, or none.

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArgumentList, FunctionArguments, Ident, ObjectName, ObjectNamePart, Value, ValueWithSpan,
};

use super::super::Untranslatable;
use super::NTH_OR_LAST;
use super::names::Reader;
use super::syntax::{call, constant, literal, nth_field, text, unnamed};

impl Reader<'_> {
    pub(super) fn function(&self, function: &Function) -> Result<Expr, Untranslatable> {
        let name = function.name.to_string().to_lowercase();
        let unknown = || Ok(Expr::Function(function.clone()));
        let FunctionArguments::List(list) = &function.args else {
            return unknown();
        };
        if name == "substring_index"
            && let Some((subject, delimiter, field)) = nth_field(list)
        {
            let mut subject = subject.clone();
            self.expression(&mut subject)?;
            return Ok(call(
                NTH_OR_LAST,
                vec![subject, text(delimiter), constant(Value::Number(field, false))],
            ));
        }
        let mut arguments = Vec::with_capacity(list.args.len());
        for argument in &list.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => {
                    let mut expression = expression.clone();
                    self.expression(&mut expression)?;
                    arguments.push(expression);
                }
                _ => return unknown(),
            }
        }
        let mut list = list.clone();
        list.args = arguments.iter().cloned().map(unnamed).collect();
        let same = |name: &str, list: FunctionArgumentList| {
            Expr::Function(Function {
                name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new(name))]),
                args: FunctionArguments::List(list),
                ..function.clone()
            })
        };
        Ok(match name.as_str() {
            "lcase" => same("lower", list),
            "ucase" => same("upper", list),
            "ifnull" => same("coalesce", list),
            // NULL if any of them is.
            "concat" if !arguments.is_empty() => {
                let mut pieces = arguments.into_iter();
                let first = pieces.next().unwrap_or_else(|| constant(Value::Null));
                let joined = pieces.fold(first, |left, right| Expr::BinaryOp {
                    left: Box::new(left),
                    op: BinaryOperator::StringConcat,
                    right: Box::new(right),
                });
                Expr::Nested(Box::new(joined))
            }
            // NULL is an empty piece.
            "concat_ws" if arguments.len() > 1 && literal(&arguments[0]).as_deref() == Some("") => {
                list.args.remove(0);
                same("concat", list)
            }
            "group_concat" if arguments.len() == 1 => {
                let separator = match list.clauses.as_slice() {
                    [] => ",".to_owned(),
                    [
                        FunctionArgumentClause::Separator(ValueWithSpan {
                            value: Value::SingleQuotedString(separator),
                            ..
                        }),
                    ] => separator.clone(),
                    _ => return unknown(),
                };
                list.clauses.clear();
                list.args = vec![unnamed(arguments.remove(0)), unnamed(text(separator))];
                same("string_agg", list)
            }
            _ => same(&name, list),
        })
    }
}
