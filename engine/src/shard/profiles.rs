//! Options of connections, interned (D6): a connection keeps the number of its set; equal sets are one.
//!
//! Counted are who uses a set: connections and listeners. A set that nobody uses gives its number to the next that comes.
//! Number 0 is the engine's own set, which stays. Looked up by its number on the way of a packet, by its content only when
//! options are given or change.

use std::ops::Index;

use fourtuple_tcp::Profile;

/// The sets of one worker.
#[derive(Debug)]
pub(crate) struct Profiles {
    sets: Vec<Set>,
}

#[derive(Debug)]
struct Set {
    profile: Profile,
    users: u32,
}

impl Profiles {
    /// With the engine's own set as number 0.
    pub(crate) fn new(own: Profile) -> Self {
        let mut sets = Vec::with_capacity(OF_CONNECTIONS);
        sets.push(Set {
            profile: own,
            users: 1,
        });
        Self { sets }
    }

    /// The set of this number.
    #[inline]
    pub(crate) fn get(&self, number: u16) -> Option<&Profile> {
        self.sets.get(usize::from(number)).map(|set| &set.profile)
    }

    /// One user more of an equal set, or of a new one; `None` when there are too many.
    pub(crate) fn hold(&mut self, profile: &Profile) -> Option<u16> {
        self.hold_within(profile, OF_CONNECTIONS)
    }

    /// The same for a listener: configuration is not refused for what connections were given.
    pub(crate) fn hold_for_listener(&mut self, profile: &Profile) -> u16 {
        self.hold_within(profile, usize::from(u16::MAX)).unwrap_or(0)
    }

    fn hold_within(&mut self, profile: &Profile, most: usize) -> Option<u16> {
        let place = match self.place_of(profile) {
            Some(place) => place,
            None => {
                let set = Set {
                    profile: profile.clone(),
                    users: 0,
                };
                match self.sets.iter().position(|set| set.users == 0) {
                    Some(vacant) => {
                        self.sets[vacant] = set;
                        vacant
                    }
                    None if self.sets.len() < most => {
                        self.sets.push(set);
                        self.sets.len() - 1
                    }
                    None => return None,
                }
            }
        };
        self.sets[place].users += 1;
        u16::try_from(place).ok()
    }

    fn place_of(&self, profile: &Profile) -> Option<usize> {
        self.sets
            .iter()
            .position(|set| set.users > 0 && set.profile == *profile)
    }

    /// One user more of this set.
    #[inline]
    pub(crate) fn keep(&mut self, number: u16) {
        if let Some(set) = self.sets.get_mut(usize::from(number)) {
            set.users += 1;
        }
    }

    /// One user fewer.
    #[inline]
    pub(crate) fn release(&mut self, number: u16) {
        if let Some(set) = self.sets.get_mut(usize::from(number)) {
            set.users = set.users.saturating_sub(1);
        }
    }

    /// A user of `number` goes over to another set; `None`, and it stays, when there are too many.
    pub(crate) fn exchange(&mut self, number: u16, profile: &Profile) -> Option<u16> {
        if let Some(known) = self.place_of(profile).and_then(|place| u16::try_from(place).ok()) {
            self.keep(known);
            self.release(number);
            return Some(known);
        }
        if let Some(set) = self.sets.get_mut(usize::from(number))
            && set.users == 1
            && number != 0
        {
            set.profile = profile.clone();
            return Some(number);
        }
        let new = self.hold(profile)?;
        self.release(number);
        Some(new)
    }

    /// Sets in use.
    #[cfg(test)]
    pub(crate) fn in_use(&self) -> usize {
        self.sets.iter().filter(|set| set.users > 0).count()
    }
}

impl Index<u16> for Profiles {
    type Output = Profile;

    /// The engine's own where there is none of this number, which can't be.
    #[inline]
    fn index(&self, number: u16) -> &Profile {
        &self
            .sets
            .get(usize::from(number))
            .unwrap_or(&self.sets[0])
            .profile
    }
}

/// Different sets of options that connections of one worker may have: each is one more to compare when another is made.
const OF_CONNECTIONS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn with_ttl(ttl: u8) -> Profile {
        Profile::default().with(|profile| profile.ttl = ttl)
    }

    #[test]
    fn equal_sets_are_one_and_what_nobody_uses_is_used_again() {
        let mut profiles = Profiles::new(Profile::default());
        assert_eq!(profiles.hold(&Profile::default()), Some(0));
        let first = profiles.hold(&with_ttl(1)).unwrap();
        assert_eq!(profiles.hold(&with_ttl(1)), Some(first));
        profiles.release(first);
        assert_eq!((profiles[first].ttl, profiles.in_use()), (1, 2));
        profiles.release(first);
        assert_eq!(profiles.hold(&with_ttl(2)), Some(first));
        assert_eq!(profiles[first].ttl, 2);
    }

    #[test]
    fn who_is_alone_with_a_set_changes_it_in_place() {
        let mut profiles = Profiles::new(Profile::default());
        profiles.keep(0);
        let own = profiles.exchange(0, &with_ttl(1)).unwrap();
        assert_eq!((own, profiles[0].ttl), (1, 64));
        assert_eq!(profiles.exchange(own, &with_ttl(2)), Some(own));
        profiles.keep(own);
        assert_eq!(profiles.exchange(own, &with_ttl(3)), Some(2));
        assert_eq!(profiles.exchange(2, &with_ttl(2)), Some(own));
        assert_eq!(profiles.in_use(), 2);
    }

    #[test]
    fn there_are_only_so_many_and_the_engines_own_stays() {
        let mut profiles = Profiles::new(Profile::default());
        for mss in 1..OF_CONNECTIONS as u16 {
            let profile = Profile::default().with(|profile| profile.mss_clamp = Some(mss));
            assert_eq!(profiles.hold(&profile), Some(mss));
        }
        assert_eq!(profiles.hold(&with_ttl(1)), None);
        assert_eq!(profiles.exchange(0, &with_ttl(1)), None);
        assert_eq!(
            profiles.exchange(7, &with_ttl(1)),
            Some(7),
            "its own it may change"
        );
        assert_eq!(
            usize::from(profiles.hold_for_listener(&with_ttl(2))),
            OF_CONNECTIONS
        );
        assert_eq!(profiles.in_use(), OF_CONNECTIONS + 1);
        assert_eq!(profiles[0], Profile::default());
    }
}
