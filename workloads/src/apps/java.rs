//! Java: an executor adds, and makes garbage.

use super::helpers::adds;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a JVM with its collector's and compiler's threads, and an executor",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    std::fs::write("Sum.java", TEXT).context("write the program")?;
    adds(cx, "java", &["Sum.java"])
}

const TEXT: &str = r#"
import java.io.*;
import java.util.concurrent.*;

public class Sum {
    static long total = 0;
    public static void main(String[] args) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(3);
        Thread garbage = new Thread(() -> { while (true) { byte[] some = new byte[1 << 16]; some[0] = 1; } });
        garbage.setDaemon(true);
        garbage.start();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            long number = Long.parseLong(line);
            System.out.println(pool.submit(() -> { total += number; return total; }).get());
            System.out.flush();
        }
        pool.shutdown();
    }
}
"#;
