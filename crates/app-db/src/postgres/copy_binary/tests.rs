use super::{CopyDecoder, Unreadable, value_of};
use crate::postgres::types::Wire;
use crate::row_names::Refusal;
use metaferry_domain::row_batch::{Cell, RowBatch};
use proptest::prelude::*;

fn stream(rows: &[&[Option<&[u8]>]]) -> Vec<u8> {
    let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for row in rows {
        bytes.extend(i16::try_from(row.len()).unwrap().to_be_bytes());
        for value in *row {
            match value {
                None => bytes.extend((-1_i32).to_be_bytes()),
                Some(value) => {
                    bytes.extend(i32::try_from(value.len()).unwrap().to_be_bytes());
                    bytes.extend_from_slice(value);
                }
            }
        }
    }
    bytes.extend((-1_i16).to_be_bytes());
    bytes
}

fn sample() -> Vec<u8> {
    stream(&[
        &[Some(&7_i32.to_be_bytes()), Some(b"seven")],
        &[Some(&8_i32.to_be_bytes()), None],
        &[Some(&9_i32.to_be_bytes()), Some(b"")],
    ])
}

fn decoded(messages: &[&[u8]]) -> Result<RowBatch, Unreadable> {
    let mut decoder = CopyDecoder::new(vec![Wire::Int4, Wire::Text]);
    let mut batch = RowBatch::new(2);
    for message in messages {
        decoder.feed(message, &mut batch)?;
    }
    decoder.finish()?;
    Ok(batch)
}

fn assert_sample(batch: &RowBatch) {
    let rows: Vec<Vec<Cell<'_>>> = (0..batch.rows()).map(|row| batch.row(row).collect()).collect();
    let expected = [
        vec![Cell::Int(7), Cell::Text("seven")],
        vec![Cell::Int(8), Cell::Null],
        vec![Cell::Int(9), Cell::Text("")],
    ];
    assert_eq!(rows, expected);
}

#[test]
fn a_stream_may_be_cut_anywhere() {
    let bytes = sample();
    for cut in 0..=bytes.len() {
        let (first, second) = bytes.split_at(cut);
        assert_sample(&decoded(&[first, second]).unwrap());
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_sample(&decoded(&single).unwrap());
}

#[test]
fn a_stream_that_ends_early_is_noticed_wherever_it_ends() {
    let bytes = sample();
    for end in 0..bytes.len() {
        assert!(
            matches!(decoded(&[&bytes[..end]]), Err(Unreadable::Format(_))),
            "ended after {end} bytes"
        );
    }
}

#[test]
fn a_value_that_cannot_be_carried_comes_with_its_row() {
    let bytes = stream(&[
        &[Some(&41_i32.to_be_bytes()), Some(b"ok")],
        &[Some(&42_i32.to_be_bytes()), Some(b"\xff")],
    ]);
    let Err(Unreadable::Value { column, refusal, row }) = decoded(&[&bytes]) else {
        panic!("was carried")
    };
    assert_eq!((column, refusal), (1, Refusal::InvalidText));
    assert_eq!(value_of(&row, 0), Some(&42_i32.to_be_bytes()[..]));
}

#[test]
fn rows_without_columns_count() {
    let bytes = stream(&[&[], &[], &[]]);
    let mut decoder = CopyDecoder::new(Vec::new());
    let mut batch = RowBatch::new(0);
    decoder.feed(&bytes, &mut batch).unwrap();
    decoder.finish().unwrap();
    assert_eq!((batch.rows(), decoder.rows()), (3, 3));
}

proptest! {
    #[test]
    fn a_mutilated_stream_never_panics(at in 0..62_usize, byte: u8, cut in 0..80_usize) {
        let mut bytes = sample();
        let length = bytes.len();
        bytes[at % length] = byte;
        let (first, second) = bytes.split_at(cut.min(length));
        // Any outcome but a panic: a changed byte may still make a legal stream.
        if let Ok(batch) = decoded(&[first, second]) {
            prop_assert!(batch.rows() <= length);
        }
    }
}
