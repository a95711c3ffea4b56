//! Hosts of our own on this machine: a network namespace for each, all on one bridge. Needs root, and the
//! programs `ip` and `tc` (Debian's iproute2).

use std::net::{IpAddr, Ipv4Addr};
use std::process::{self, Command, Stdio};

/// Hosts with the addresses 10.N.N.1 and up; this process is at 10.N.N.254. Gone when dropped.
#[derive(Debug)]
pub struct Namespaces {
    /// Where the bridge is, out of reach of this machine's own packet filter.
    switch: String,
    net: u8,
    hosts: Vec<String>,
}

impl Namespaces {
    /// # Errors
    /// What `ip` says: without root, or without the program, there are none.
    pub fn make(count: u8) -> Result<Namespaces, String> {
        // Two runs at once have different nets most of the time; the second of a pair fails loudly.
        let net = u8::try_from(process::id() % 200).unwrap_or(0) + 20;
        let switch = format!("pf{net}sw");
        ip(&format!("netns add {switch}"))?;
        let mut namespaces = Namespaces {
            switch: switch.clone(),
            net,
            hosts: Vec::new(),
        };
        ip(&format!("-n {switch} link add bridge type bridge"))?;
        ip(&format!("-n {switch} link set bridge up"))?;
        // Names are short: the kernel takes 15 characters.
        let ours = format!("pf{net}up");
        ip(&format!(
            "link add {ours} type veth peer name us netns {switch}"
        ))?;
        ip(&format!("addr add 10.{net}.{net}.254/24 dev {ours}"))?;
        ip(&format!("link set {ours} up"))?;
        namespaces.plug("us")?;
        for number in 1..=count {
            namespaces.add(number)?;
        }
        Ok(namespaces)
    }

    fn add(&mut self, number: u8) -> Result<(), String> {
        let (net, switch) = (self.net, self.switch.clone());
        let (host, port) = (format!("pf{net}h{number}"), format!("h{number}"));
        ip(&format!("netns add {host}"))?;
        self.hosts.push(host.clone());
        ip(&format!(
            "-n {switch} link add {port} type veth peer name eth0 netns {host}"
        ))?;
        self.plug(&port)?;
        ip(&format!(
            "-n {host} addr add 10.{net}.{net}.{number}/24 dev eth0"
        ))?;
        ip(&format!("-n {host} link set eth0 up"))?;
        ip(&format!("-n {host} link set lo up"))
    }

    fn plug(&self, port: &str) -> Result<(), String> {
        let switch = &self.switch;
        ip(&format!("-n {switch} link set {port} master bridge"))?;
        ip(&format!("-n {switch} link set {port} up"))
    }

    pub fn name(&self, host: usize) -> &str {
        &self.hosts[host]
    }

    pub fn address(&self, host: usize) -> IpAddr {
        let number = u8::try_from(host + 1).expect("few hosts");
        Ipv4Addr::new(10, self.net, self.net, number).into()
    }

    /// From now on nothing goes from one host to the other; the other way it may.
    pub fn cut(&self, from: usize, to: usize) {
        self.lose(from, self.address(to));
    }

    pub fn mend(&self, from: usize, to: usize) {
        self.find(from, self.address(to));
    }

    /// From now on nothing goes from a host to anybody: nobody hears of it, and no answer of it comes.
    pub fn isolate(&self, host: usize) {
        self.others(host).for_each(|other| self.lose(host, other));
    }

    pub fn join(&self, host: usize) {
        self.others(host).for_each(|other| self.find(host, other));
    }

    /// Everybody but this host, us included.
    fn others(&self, host: usize) -> impl Iterator<Item = IpAddr> {
        let hosts = (0..self.hosts.len()).filter(move |other| *other != host);
        let us = Ipv4Addr::new(10, self.net, self.net, 254).into();
        hosts.map(|other| self.address(other)).chain([us])
    }

    fn lose(&self, from: usize, to: IpAddr) {
        let name = self.name(from);
        let lost = ip(&format!("-n {name} route add blackhole {to}/32"));
        lost.expect("a route can be added");
    }

    fn find(&self, from: usize, to: IpAddr) {
        let name = self.name(from);
        let found = ip(&format!("-n {name} route del blackhole {to}/32"));
        found.expect("the route is there");
    }

    /// What this host sends goes out at so many kilobits a second, to everybody.
    pub fn slow_down(&self, host: usize, kilobits_per_second: u32) {
        let name = self.name(host);
        let slow = format!(
            "-n {name} qdisc add dev eth0 root tbf rate {kilobits_per_second}kbit burst 16kb latency 300ms"
        );
        run("tc", &slow).expect("a rate can be set");
    }

    pub fn speed_up(&self, host: usize) {
        let name = self.name(host);
        let mended = run("tc", &format!("-n {name} qdisc del dev eth0 root"));
        mended.expect("the rate is set");
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // With a namespace goes its end of the pair, and with that the other one.
        for name in self.hosts.iter().chain([&self.switch]) {
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

fn ip(arguments: &str) -> Result<(), String> {
    run("ip", arguments)
}

fn run(program: &str, arguments: &str) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments.split(' '))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} {arguments}: {}", said.trim()))
}
