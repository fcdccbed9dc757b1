//! RFC 9293 by section, and the RFCs that it leans on: a function's name is the requirement.
#![allow(missing_docs, unreachable_pub, reason = "a test binary has no users")]

mod bbr;
mod bottleneck;
mod goodput;
mod options_changed;
mod pacing;
mod rfc2883_dsack;
mod rfc3168_ecn;
mod rfc4015_undo;
mod rfc4821_path_mtu;
mod rfc4987_cookies;
mod rfc5681_congestion;
mod rfc5682_frto;
mod rfc5961_challenge;
mod rfc6191_time_wait;
mod rfc6298_rto;
mod rfc6582_new_reno;
mod rfc6675_sack;
mod rfc7323_timestamps;
mod rfc7413_fast_open;
mod rfc8257_dctcp;
mod rfc8985_rack;
mod rfc8985_tlp;
mod rfc9406_hystart;
mod rfc9438_cubic;
mod rfc9937_prr;
mod s3_10_1_6_calls;
mod s3_10_7_3_syn_sent;
mod s3_10_7_4_ack;
mod s3_10_7_4_fin;
mod s3_10_7_4_rst;
mod s3_10_7_4_sequence;
mod s3_10_7_4_syn;
mod s3_10_7_4_text;
mod s3_10_7_4_urgent;
mod s3_5_opening;
mod s3_6_closing;
mod s3_7_segmentation;
mod s3_8_1_3_retransmission;
mod s3_8_4_keepalive;
mod s3_8_5_urgent_sending;
mod s3_8_6_3_delayed_ack;
mod s3_8_6_window;
mod s3_9_2_2_icmp;
#[path = "../support/mod.rs"]
mod support;
