//! `chatapi output`: each format is read back by whoever it is for, and says exactly what it was given or nothing at all.
//!
//! The readers in `properties::readers` follow each grammar's own description and always run. bash and dash run where they are installed;
//! python-dotenv and node's dotenv where `CHATAPI_TEST_CONSUMERS` names the directory that `.ci/run` has put them into.

mod asked;
mod consumers;
mod delivery;
mod formats;
mod templates;
mod values;
