//! What images show: smooth colours with noise over them, so that they are about as large as
//! photographs of their size. They follow from a generator and show nothing.

use common::seed::Generator;

/// Pixels from one colour of the ground to the next.
const STEP: usize = 32;

/// Bytes of a pixel: red, green, blue.
const CHANNELS: usize = 3;

/// The pixels of a picture, row by row.
pub(super) fn picture(generator: &mut Generator, width: u32, height: u32) -> Vec<u8> {
    let (width, height) = (width as usize, height as usize);
    let columns = width / STEP + 2;
    let mut pixels = Vec::with_capacity(width * height * CHANNELS);
    let mut above = ground(generator, columns);
    let mut below = ground(generator, columns);
    let mut noise = Noise::new(generator.next_u64());
    for row in 0..height {
        if row > 0 && row % STEP == 0 {
            above = std::mem::replace(&mut below, ground(generator, columns));
        }
        let down = (row % STEP) as i32;
        let between = |(above, below): (&i32, &i32)| above * (STEP as i32 - down) + below * down;
        let line: Vec<i32> = above.iter().zip(&below).map(between).collect();
        let corners = line.windows(2 * CHANNELS).step_by(CHANNELS);
        for (column, corners) in (0..width).step_by(STEP).zip(corners) {
            let [red, green, blue, red_next, green_next, blue_next] = *corners else { break };
            let ends = [(red, red_next), (green, green_next), (blue, blue_next)];
            for across in 0..STEP.min(width - column) as i32 {
                let mixed = ends.map(|(left, right)| {
                    let level = left * (STEP as i32 - across) + right * across;
                    level / (STEP * STEP) as i32
                });
                let noise = noise.of_pixel();
                for (level, noise) in mixed.into_iter().zip(noise) {
                    // The ground keeps away from both ends by more than the noise.
                    pixels.push((level + noise) as u8);
                }
            }
        }
    }
    pixels
}

/// Draws the last pixels again, which changes a picture as little as can be.
pub(super) fn retouch(generator: &mut Generator, pixels: &mut [u8]) {
    let mut noise = Noise::new(generator.next_u64());
    for pixel in pixels.chunks_exact_mut(CHANNELS).rev().take(8) {
        for (level, noise) in pixel.iter_mut().zip(noise.of_pixel()) {
            *level = (128 + 4 * noise) as u8;
        }
    }
}

/// A row of colours of the ground.
fn ground(generator: &mut Generator, columns: usize) -> Vec<i32> {
    (0..columns * CHANNELS).map(|_| 32 + (generator.unit() * 192.0) as i32).collect()
}

/// Noise of -8 to 7, each as likely: many draws of a weak and quick generator (Marsaglia's xorshift).
struct Noise(u64);

impl Noise {
    fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn of_pixel(&mut self) -> [i32; CHANNELS] {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        [20, 28, 36].map(|place| ((self.0 >> place) & 15) as i32 - 8)
    }
}
