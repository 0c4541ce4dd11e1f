//! Programs of a distribution, unmodified: each is started, kept busy while it is saved, and asked
//! itself whether anything was lost, by a client that never reconnects.

mod helpers;
mod mpi;

crate::framework::corpus! {
    mod awk;
    mod bash;
    mod bash_jobs;
    mod fio;
    mod git;
    mod go;
    mod guile;
    mod java;
    mod jq;
    mod lua;
    mod make;
    mod memcached;
    mod mpich;
    mod nginx;
    mod node;
    mod nohup;
    mod openmpi;
    mod perl;
    mod php;
    mod postgres;
    mod python_asyncio;
    mod python_processes;
    mod python_threads;
    mod redis;
    mod ruby;
    mod screen;
    mod script;
    mod sqlite;
    mod ssh;
    mod tclsh;
    mod tls;
    mod tmux;
    mod vim;
    mod xz;
    mod zsh;
}
