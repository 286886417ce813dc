//! Bundles under zstd: frames one after the other, each small, so that neither side holds more than
//! one. What is read may be anything; its window is bounded, and what comes out is judged like any
//! other bundle.

use std::fmt;
use std::io::{self, BufRead, Read, Write};

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::limits;

/// Compresses what is written; a flush ends a frame.
pub(super) struct Squeezed<'o> {
    out: &'o mut (dyn Write + Send),
    frame: Vec<u8>,
}

impl<'o> Squeezed<'o> {
    pub(super) fn new(out: &'o mut (dyn Write + Send)) -> Self {
        Self { out, frame: Vec::new() }
    }

    fn end_frame(&mut self) -> io::Result<()> {
        if !self.frame.is_empty() {
            self.out.write_all(&compress_to_vec(&self.frame[..], CompressionLevel::Fastest))?;
            self.frame.clear();
        }
        Ok(())
    }
}

impl Write for Squeezed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.frame.extend(bytes);
        if self.frame.len() >= limits::FRAME_BYTES {
            self.end_frame()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.end_frame()?;
        self.out.flush()
    }
}

/// Reads what was compressed, frame after frame.
pub(super) struct Swollen<R: BufRead>(Option<At<R>>);

enum At<R: BufRead> {
    Between(R),
    Inside(Box<StreamingDecoder<R, FrameDecoder>>),
}

impl<R: BufRead> Swollen<R> {
    pub(super) fn new(input: R) -> Self {
        Self(Some(At::Between(input)))
    }
}

impl<R: BufRead> Read for Swollen<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(at) = self.0.take() {
            match at {
                At::Between(mut input) => {
                    if input.fill_buf()?.is_empty() {
                        self.0 = Some(At::Between(input));
                        return Ok(0);
                    }
                    let window = limits::WINDOW_BYTES;
                    let decoder = StreamingDecoder::new_with_max_window_size(input, window);
                    self.0 = Some(At::Inside(Box::new(decoder.map_err(|why| damaged(&why))?)));
                }
                At::Inside(mut decoder) => {
                    match decoder.read(buffer).map_err(|why| damaged(&why))? {
                        0 if !buffer.is_empty() => {
                            let (input, frame) = decoder.into_parts();
                            let told = frame.get_checksum_from_data();
                            if told.is_some() && told != frame.get_calculated_checksum() {
                                return Err(damaged(&"a frame is not what its checksum says"));
                            }
                            self.0 = Some(At::Between(input));
                        }
                        read => {
                            self.0 = Some(At::Inside(decoder));
                            return Ok(read);
                        }
                    }
                }
            }
        }
        Err(damaged(&"stopped at an error before"))
    }
}

fn damaged(why: &dyn fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_string())
}
